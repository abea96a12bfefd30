"""Harmless by construction: only prints, all that a page, a terminal or a database could take the wrong way."""

import sys
import time

NASTY = (
    b"<script>document.title = 'taken'</script><img src=x onerror=alert(1)>",
    b'<div hx-get="/runs/1" hx-trigger="load" hx-on:click="alert(2)">not a button</div>',
    b"</pre></code><style>body { display: none }</style><form action='/stop-all' method=post>",
    b"\x1b[31mred\x1b[0m \x1b[2J\x1b[H\x1b]0;a title\x07\x1b]8;;http://192.0.2.1/\x1b\\a link\x1b]8;;\x1b\\",
    b"\x1b[?1049h\x1b[6n\x1bP another screen, a question to the terminal, a device string",
    b"\x00 nul, \x07 bell, \x08 back, \x7f delete, \x9b31m eight-bit escape",
    "\u202egnipyt sdrawkcab\u202c, zero\u200bwidth, \ufeffmark, \u2028line\u2029paragraph, e\u0301\u0323".encode(),
    b"\xff\xfe\xc3\x28\xf0\x9f\x92 invalid text \xed\xa0\x80",
    b'{"event":"RunEnded","outcome":"succeeded"}',
    b"data: {}\r\n\r\nevent: bye\r\nid: 99.99.99\r\n\r\n",
    b"'; DROP TABLE runs; -- ${7*7} {{7*7}} %s %n __proto__",
    b'=HYPERLINK("http://192.0.2.1") @SUM(1+1) +1+1',
)


def main() -> None:
    print("I am the noisy one, a scripted agent that prints what others would rather not read.")
    out = sys.stdout.buffer
    for number, line in enumerate(NASTY, 1):
        out.write(b"%d: %s\n" % (number, line))
        out.flush()
        time.sleep(0.3)
    out.write(b"a line of 300,000 signs: " + b"x" * 300_000 + b"\n")
    out.write(b"no end of line for three seconds")
    for _ in range(30):
        out.write(b".")
        out.flush()
        time.sleep(0.1)
    out.write(b"\nand now without end\n")
    block = b"".join(b"%06d the same again and again, as fast as can be\n" % number for number in range(1000))
    while True:
        out.write(block)


main()
