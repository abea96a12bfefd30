"""What each template may use: one frozen dataclass per page and per fragment. Their parts are in `app/web/parts.py`.

A template sees the fields of its dataclass by name, and nothing else besides these globals and filters
(`app/web/templates.py`):

- `static('live.js')` -> "/static/live.js?v=<digest>"; `spark(fractions)` -> the places of a small line
- filters: `bytes` (1536 -> "1.5 KiB"), `duration` (seconds -> "1 m 04 s"), `clock` (unix s -> "14:03:09.120", UTC),
  `when` (unix s -> "2026-11-21 14:03:09 UTC"), `iso` (unix s -> for <time datetime>), `ms` (12.3 -> "12 ms"),
  `number` (12345 -> "12 345"), `percent` (0..1 -> "42%"), and Jinja's own `tojson`

Every text that came out of a sandbox has already been made visible: no control or bidi character is left in it. It is
still text, so it stays autoescaped. All times are unix seconds, sizes bytes, fractions 0..1 (clipped).

Rules of the markup
- Scripts carry `nonce="{{ frame.nonce }}"`, elements with hx-* carry `hx-nonce="{{ frame.nonce }}"` (hx-csp strips
  the rest). Trusted Types are on; the policies "htmx" and "crucible" may be made, so our own scripts set HTML only
  through `trustedTypes.createPolicy("crucible", …)` or `htmx.swap`.
- Every POST form has `<input type="hidden" name="csrf" value="{{ frame.csrf }}">`. A fetch may send it as
  X-CSRF-Token instead.
- Fragments (strip, card, queue, panel, alerts) are rendered once and shared by all readers of a stream: they know no
  session, hold no token and no hx-*. Their buttons belong to the page's one form, `<form id="act" method="post">` with
  the token, in base.html: `<button form="act" formaction="/runs/42/stop" name="kind" value="stop">`.
"""
