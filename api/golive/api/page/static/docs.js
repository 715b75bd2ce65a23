// Starts Swagger UI; apart, for the policy of the page allows no script within it.
SwaggerUIBundle({
  url: document.getElementById("api").dataset.openapi,
  dom_id: "#api",
  deepLinking: true,
  presets: [SwaggerUIBundle.presets.apis, SwaggerUIBundle.SwaggerUIStandalonePreset],
  validatorUrl: null,
});
