"""The web page: static files that use nothing but the management API, and what serves them.

`static/` is the page as browsers get it, without a build step: `index.html` loads `app.js`, which knows the
views; `api.js` calls the API and follows documents of it, `parts.js` has what views are made of, `vendor/`
what is not ours. **To add a view**: a file in `static/views/`, and its row in `VIEWS` of `app.js`.

`site` puts page, API and `live` together. Not here: any state of the broker.
"""
