// A form is sent once. A second click while its answer is on the way would do it twice, and the second answer would hide
// the first: a link that is shown once would be lost, an account just made would be called taken.
(() => {
  const PATIENCE = 20000, DOWNLOAD = 3000; // ms; a download leaves the page as it is, and nothing tells when it has come
  const free = (form) => form.removeAttribute("aria-busy");
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented) return; // a question before it was answered with no
    if (form.hasAttribute("aria-busy")) return event.preventDefault();
    form.setAttribute("aria-busy", "true");
    setTimeout(free, form.hasAttribute("data-download") ? DOWNLOAD : PATIENCE, form);
  });
  // the way back may show the page as it was left
  addEventListener("pageshow", () => document.querySelectorAll("form[aria-busy]").forEach(free));
})();
