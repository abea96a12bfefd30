// Menus close as hands expect: with Escape, which leads back to their button, and when somebody goes on elsewhere.
const opened = () => document.querySelector("details.menu[open]");

function closeUnlessIn({ target }) {
  const menu = opened();
  if (menu && !menu.contains(target)) menu.open = false;
}

export function startMenus() {
  document.addEventListener("pointerdown", closeUnlessIn);
  document.addEventListener("focusin", closeUnlessIn);
  document.addEventListener(
    "keydown",
    (event) => {
      const menu = event.key === "Escape" && opened();
      if (!menu) return;
      event.stopPropagation(); // the menu, and not the past or a dialog below it
      menu.open = false;
      menu.querySelector("summary").focus();
    },
    { capture: true },
  );
}
