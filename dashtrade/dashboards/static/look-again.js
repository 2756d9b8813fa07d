// A section that tells of something that goes on is fetched again until it is over, or for a quarter of an hour: a page
// that nobody looks at must not keep its session alive for ever. Without this, a link does it.
(() => {
  const PAUSE = 2000, END = Date.now() + 15 * 60 * 1000; // ms
  const look = async () => {
    const section = document.querySelector("section[data-look]");
    if (!section || Date.now() > END) return;
    try {
      const answer = document.hidden ? null : await fetch(section.dataset.look, { cache: "no-store" });
      const found = answer?.ok && !answer.redirected && new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(section.id);
      if (found) section.replaceWith(document.adoptNode(found));
    } catch { /* the server is away: later */ }
    setTimeout(look, PAUSE);
  };
  setTimeout(look, PAUSE);
})();
