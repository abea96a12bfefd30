// Runs before the first paint, so that a remembered theme never flashes. The rest of the toggle is in live/theme.js.
try {
  const theme = localStorage.getItem("theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // storage is closed to us: the system's preference holds
}
document.documentElement.classList.add("js");
