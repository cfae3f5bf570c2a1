/* offline.js - the search on pages that were opened as files, where a browser allows neither requests nor workers.
 *
 * The index comes as a script, which sets `__search` as the theme looks for it (tools/docs.sh writes it). The theme's
 * worker runs in a frame: what a page posts to it arrives there as a message, and what it posts arrives here.
 */
if (location.protocol === "file:") {
  const base = document.currentScript.dataset.base;
  document.write(`<script src="${base}/search/search_index.js"></script>`);

  window.Worker = class extends EventTarget {
    constructor(url) {
      super();
      this.waiting = [];
      this.frame = document.createElement("iframe");
      this.frame.hidden = true;
      this.frame.srcdoc = `<script>
        postMessage = (data) => parent.dispatchEvent(new MessageEvent("weir-search", { data }));
      </script><script src="${url}"></script>`;
      this.frame.onload = () => {
        this.waiting.forEach((data) => this.deliver(data));
        this.waiting = null;
      };
      window.addEventListener("weir-search", (event) => {
        this.dispatchEvent(new MessageEvent("message", { data: event.data }));
      });
      const add = () => document.body.append(this.frame);
      if (document.body) add();
      else document.addEventListener("DOMContentLoaded", add);
    }

    deliver(data) {
      const there = this.frame.contentWindow;
      there.dispatchEvent(new there.MessageEvent("message", { data }));
    }

    postMessage(data) {
      if (this.waiting) this.waiting.push(data);
      else this.deliver(data);
    }

    terminate() {
      this.frame.remove();
    }
  };
}
