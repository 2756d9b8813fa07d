// A section that tells of something that goes on is fetched again until it is over; without this, a link does it.
(() => {
  const PAUSE = 2000; // ms
  const look = async () => {
    const section = document.querySelector("section[data-look]");
    if (!section) return;
    try {
      const answer = await fetch(section.dataset.look, { cache: "no-store" });
      const found = answer.ok && !answer.redirected && new DOMParser().parseFromString(await answer.text(), "text/html").getElementById(section.id);
      if (found) section.replaceWith(document.adoptNode(found));
    } catch { /* the server is away: later */ }
    setTimeout(look, PAUSE);
  };
  setTimeout(look, PAUSE);
})();
