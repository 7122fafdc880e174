"use strict";

window.addEventListener("DOMContentLoaded", () => {
  SwaggerUIBundle({
    url: "openapi.json",
    dom_id: "#swagger-ui",
    presets: [SwaggerUIBundle.presets.apis],
    layout: "BaseLayout",
    deepLinking: true,
    // Else the document would be sent to another host to be judged.
    validatorUrl: null,
    onComplete: () => {
      // The page grew since the browser looked for the row that its address names.
      const row = location.hash.startsWith("#problem") && document.querySelector(location.hash);
      if (row) row.scrollIntoView();
    },
  });
});
