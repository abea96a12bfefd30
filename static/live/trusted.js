// The one policy under which our own HTML and our own worker pass the browser's check of trusted types.

let made = null;
try {
  made =
    self.trustedTypes?.createPolicy("crucible", {
      createHTML: (html) => html,
      createScriptURL(url) {
        if (!/^\/static\/live\/[a-z]+\.js(\?v=[0-9a-f]+)?$/.test(url)) throw new TypeError("not a script of ours");
        return url;
      },
    }) ?? null;
} catch {
  made = null; // the page's policy does not ask for trusted types
}

export const trustedHtml = (html) => made?.createHTML(html) ?? html;
export const trustedScript = (url) => made?.createScriptURL(url) ?? url;
