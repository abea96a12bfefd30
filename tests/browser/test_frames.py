"""The page's own reader of server-sent events, in the browser it runs in."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

from tests.browser.conftest import Open

STREAM = "id: 1.2.3\nevent: lines\ndata: grün € 🧪\n\n: a comment\nretry: 1500\nevent: hb\ndata: one\ndata: two\n\n"
EXPECTED = [
    {"id": "1.2.3", "event": "lines", "data": "grün € 🧪"},
    {"id": "", "event": "hb", "data": "one\ntwo"},
]
READ = """async ([chunks]) => {
  const { FrameReader } = await import("/static/live/frames.js");
  const reader = new FrameReader();
  const frames = chunks.flatMap((chunk) => reader.push(new Uint8Array(chunk)));
  return { frames, retry: reader.retry };
}"""


def test_a_stream_cut_at_any_byte_gives_the_same_frames_with_every_kind_of_line_end(open_page: Open) -> None:
    page = open_page("/health")
    for end in ("\n", "\r\n", "\r"):
        data = STREAM.replace("\n", end).encode()
        for cut in range(1, len(data)):
            found = page.evaluate(READ, [[list(data[:cut]), list(data[cut:])]])
            assert found == {"frames": EXPECTED, "retry": 1500}, (end, cut)
        found = page.evaluate(READ, [[[byte] for byte in data]])
        assert found == {"frames": EXPECTED, "retry": 1500}, end


def test_a_frame_without_end_is_refused_instead_of_filling_the_memory(open_page: Open) -> None:
    page = open_page("/health")
    refused = page.evaluate(
        """async () => {
          const { FrameReader } = await import("/static/live/frames.js");
          const reader = new FrameReader();
          const chunk = new Uint8Array(1024 * 1024).fill(120);
          try {
            for (let count = 0; count < 20; count += 1) reader.push(chunk);
          } catch (error) {
            return error.message;
          }
          return "";
        }"""
    )
    assert refused == "a frame of the stream is too long"


def test_a_frame_about_one_run_never_moves_the_place_in_another(open_page: Open) -> None:
    page = open_page("/health")
    addresses = page.evaluate(
        """async () => {
          const { Hub } = await import("/static/live/hub.js");
          const lines = 'id: 9.900.9\\nevent: lines\\ndata: {"run":1,"lines":[]}\\n\\n';
          const sent = lines + 'event: tally\\ndata: {"run":2}\\n\\n';
          const asked = [];
          const before = window.fetch;
          window.fetch = async (url, { signal }) => {
            asked.push(String(url));
            const body = new ReadableStream({
              start(controller) {
                controller.enqueue(new TextEncoder().encode(sent));
                signal.addEventListener("abort", () => controller.error(signal.reason));
              },
            });
            return new Response(body, { headers: { "content-type": "text/event-stream" } });
          };
          const hub = new Hub();
          const topics = { runs: { 1: "5.500.5", 2: "3.30.3" }, wall: "", csrf: "" };
          await new Promise((resolve) => {
            hub.hear("one", { op: "join", topics }, (message) => message.event === "tally" && resolve());
          });
          hub.hear("other", { op: "join", topics: { runs: {}, wall: "", csrf: "" } }, () => {});
          while (asked.length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
          hub.close();
          window.fetch = before;
          return asked;
        }"""
    )
    places = [parse_qs(urlsplit(address).query)["after"] for address in addresses]
    assert places == [["5.500.5", "3.30.3"], ["9.900.9", "3.30.3"]]


def test_a_fragment_loses_everything_that_could_act_by_itself(open_page: Open) -> None:
    page = open_page("/health")
    html = page.evaluate(
        """async () => {
          const { parse } = await import("/static/live/morph.js");
          const holder = document.createElement("div");
          const acting = '<p hx-get="/x" data-hx-get="/x" id="a">b<script>1<\\/script><iframe></iframe></p>';
          holder.append(parse(acting));
          return holder.innerHTML;
        }"""
    )
    assert html == '<p id="a">b</p>'


def test_what_a_person_is_writing_survives_a_new_fragment(open_page: Open) -> None:
    page = open_page("/health")
    kept = page.evaluate(
        """async () => {
          const { morph, parse } = await import("/static/live/morph.js");
          const text = (word) => `<section><p>${word}</p><details><summary>s</summary></details>` +
            `<span data-keep><input></span><ol><li data-key="1">one</li><li data-key="2">two</li></ol></section>`;
          document.body.append(parse(text("old")));
          const section = document.body.lastElementChild;
          const find = (selector) => section.querySelector(selector);
          const [input, details, second] = [find("input"), find("details"), find("[data-key='2']")];
          input.value = "half a th";
          input.focus();
          details.open = true;
          morph(section, text("new").replace('<li data-key="1">one</li>', '<li data-key="3">three</li>'));
          const items = [...section.querySelectorAll("li")].map((one) => one.textContent);
          return [find("p").textContent, input.value, document.activeElement === input, details.open,
            find("[data-key='2']") === second, items];
        }"""
    )
    assert kept == ["new", "half a th", True, True, True, ["three", "two"]]
