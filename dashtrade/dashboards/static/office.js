// The server's own pages: menu, questions before what cannot be undone, links that are ready to copy.
(() => {
  const menu = document.querySelector(".dt-user");
  document.addEventListener("click", (event) => { if (menu.open && !menu.contains(event.target)) menu.open = false; });
  document.addEventListener("keydown", (event) => { if (event.key === "Escape" && menu.open) { menu.open = false; menu.querySelector("summary").focus(); } });
  // heard on the document, so that a form which comes later asks too
  document.addEventListener("submit", (event) => { const { confirm: question } = event.target.dataset; if (question && !confirm(question)) event.preventDefault(); });
  for (const field of document.querySelectorAll("input[data-select]")) { field.focus(); field.select(); }
  // said once: not again when the page is loaded again, or on the way back to it
  const address = new URL(location.href);
  if (address.searchParams.has("done")) { address.searchParams.delete("done"); history.replaceState(null, "", address); }
  for (const here of document.querySelectorAll('.dt-nav [aria-current="page"], .dt-tabs [aria-current="page"]')) here.scrollIntoView({ block: "nearest", inline: "center" });
})();
