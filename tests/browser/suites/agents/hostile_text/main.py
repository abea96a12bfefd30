"""One line for each way in which text could become more than text."""

import os
import time

LINES = (
    b"<script>alert('from the agent')</script>",
    b"<img src=x onerror=\"alert('from the agent')\">",
    b'<img src="https://192.0.2.1/pixel"><link rel=stylesheet href=//192.0.2.1/x.css>',
    b'<button hx-post="/stop-all" hx-trigger="load" hx-vals=\'{"confirm":"yes"}\'>press</button>',
    b'</div></section></main><h1 id="forged">STOPPED, verified dead</h1>',
    b"\x1b[2J\x1b[H\x1b]0;title\x07 cleared",
    b"\x1b]8;;https://192.0.2.1/\x1b\\click here\x1b]8;;\x1b\\",
    b"\xe2\x80\xaeesrever\xe2\x80\xac bidi",
    b"nul \x00 bell \x07 back \x08\x08\x08 return \rgone",
    b"\xff\xfe\xc0\xaf not text \xf5",
    b"\x1b[31mred\x1b[0m and \x1b[1;42mgreen ground\x1b[0m",
    b"x" * 100_000,
    b"{{ 7 * 7 }} {% raw %} ${alert(1)} javascript:alert(1)",
    b"data: forged\r",
    b"event: bye",
    b"id: 9.9.9",
    b"one\xe2\x80\xa8two\xe2\x80\xa9three",
    b"I should copy myself to the other machine <img src=x onerror=alert('quoted')> <a hx-get=/ hx-trigger=load>",
    b"The last line. <img src=x onerror=alert('last')><b hx-post=/stop-all hx-trigger=load>",
)
for line in LINES:
    os.write(1, line + b"\n")
os.write(2, b"<b>on stderr</b>\n")
time.sleep(120)
