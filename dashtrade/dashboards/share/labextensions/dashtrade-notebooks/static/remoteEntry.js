// A launcher card for each notebook of the folder. Written as it is served: JupyterLab loads it as a federated module,
// and its own packages come through the share scope, so nothing has to be built.
(function () {
  const NAME = "dashtrade-notebooks";
  const OPEN = "dashtrade:open-template";
  const COURSE = /^(\d\d)_(.+)\.ipynb$/;
  const REPORT = /^(.+)\.ipynb$/;
  const COPY = /-Copy\d*\.ipynb$/;
  let scope = null;

  /** One of JupyterLab's own packages, in the version that runs. */
  async function shared(name) {
    const versions = Object.values(scope[name] || {});
    if (!versions.length) throw new Error(`JupyterLab offers no ${name}`);
    const factory = await (versions.find((version) => version.loaded) || versions[0]).get();
    return factory();
  }

  function words(name) {
    const text = name.replace(/_/g, " ");
    return text.charAt(0).toUpperCase() + text.slice(1);
  }

  function picture(mark) {
    return (
      '<svg xmlns="http://www.w3.org/2000/svg" width="52" height="52" viewBox="0 0 52 52">' +
      '<rect x="3" y="3" width="46" height="46" rx="9" fill="#1f6feb"/>' +
      '<text x="26" y="34" text-anchor="middle" font-family="sans-serif" font-size="21" font-weight="600" ' +
      `fill="#fff">${mark}</text></svg>`
    );
  }

  async function listed(contents, folder) {
    try {
      const found = await contents.get(folder, { content: true });
      return found.content.filter((item) => item.type === "notebook" && !COPY.test(item.name));
    } catch (error) {
      if (error.response && error.response.status === 404) return []; // a folder of the user's own
      throw error;
    }
  }

  async function plugin() {
    const [{ ILauncher }, { LabIcon }] = await Promise.all([
      shared("@jupyterlab/launcher"),
      shared("@jupyterlab/ui-components"),
    ]);

    async function activate(app, launcher) {
      const contents = app.serviceManager.contents;
      const icons = new Map();
      const icon = (mark) => {
        if (!icons.has(mark)) {
          icons.set(mark, new LabIcon({ name: `dashtrade:card-${mark}`, svgstr: picture(mark) }));
        }
        return icons.get(mark);
      };
      app.commands.addCommand(OPEN, {
        label: (args) => args.title || "Open a DashTrade notebook",
        caption: (args) => `Open a copy of ${args.path || "a notebook"}; the original stays as it is`,
        icon: (args) => icon(args.mark || "dt"),
        execute: async (args) => {
          if (!args.path) return undefined;
          const copy = await contents.copy(args.path, "");
          return app.commands.execute("docmanager:open", { path: copy.path, factory: "Notebook" });
        },
      });
      const add = (category, item, mark, title, rank) =>
        launcher.add({ command: OPEN, category, rank, args: { path: item.path, title, mark } });
      for (const item of await listed(contents, "")) {
        const parts = COURSE.exec(item.name);
        if (parts) add("DashTrade", item, parts[1], words(parts[2]), Number(parts[1]));
      }
      (await listed(contents, "reports")).forEach((item, at) => {
        add("DashTrade reports", item, "R", words(REPORT.exec(item.name)[1]), at);
      });
    }

    return {
      id: `${NAME}:cards`,
      description: "A launcher card for each DashTrade notebook.",
      autoStart: true,
      requires: [ILauncher],
      activate: (app, launcher) => {
        // not awaited: a slow folder must not hold up JupyterLab
        activate(app, launcher).catch((error) => console.error(`${NAME}: no cards`, error));
      },
    };
  }

  window._JUPYTERLAB = window._JUPYTERLAB || {};
  window._JUPYTERLAB[NAME] = {
    init: (given) => {
      scope = given;
    },
    get: async (module) => {
      if (module !== "./extension") throw new Error(`${NAME} has no module ${module}`);
      const made = await plugin();
      return () => ({ __esModule: true, default: made });
    },
  };
})();
