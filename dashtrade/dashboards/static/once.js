// A form is sent once. A second click while its answer is on the way would do it twice, and the second answer would hide
// the first: a link that is shown once would be lost, an account just made would be called taken. Each form that is filled
// in has a key as well, by which the server knows it when the browser sends it again: the answer got lost, or took long.
(() => {
  const PATIENCE = 20000, DOWNLOAD = 3000; // ms; a download leaves the page as it is, and nothing tells when it has come
  const free = (form) => form.removeAttribute("aria-busy");
  const random = () => Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  const keyOf = (form) => form.querySelector('input[name="once"]');
  const forget = (form) => keyOf(form)?.remove();
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented) return; // a question before it was answered with no
    if (form.hasAttribute("aria-busy")) return event.preventDefault();
    form.setAttribute("aria-busy", "true");
    if (form.method === "post" && !keyOf(form)) {
      const field = document.createElement("input");
      Object.assign(field, { type: "hidden", name: "once", value: random() });
      form.append(field);
    }
    setTimeout(free, form.hasAttribute("data-download") ? DOWNLOAD : PATIENCE, form);
  });
  // filled in anew, it is another one
  for (const kind of ["input", "change"]) document.addEventListener(kind, (event) => { if (event.target.form) forget(event.target.form); });
  // the way back may show the page as it was left
  addEventListener("pageshow", () => document.querySelectorAll("form").forEach((form) => { free(form); forget(form); }));
})();
