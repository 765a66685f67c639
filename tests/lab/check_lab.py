"""Notebooks as a student meets them: run in JupyterLab by its menu, every control of every explorer moved, exercises answered.

`make test-lab` runs this; a plain `pytest` does not collect it. It prints how long every explorer took from change to picture.
P3M_LAB_NOTEBOOKS names other notebooks, or all of `EXPLORERS`; P3M_LAB_PROFILE=laptop shows networks that have learned.
"""

import json
import os
import re
import statistics
from pathlib import Path

import numpy as np
import pytest
from conftest import TOKEN
from PIL import Image
from skimage.data import astronaut

MINUTES = 60_000  # milliseconds
NOTEBOOKS = os.environ.get("P3M_LAB_NOTEBOOKS", "00_start_here 01_anonymize 02_metrics 10_copy_paste").split()
EXPLORERS = {
    "00_start_here": 1, "01_anonymize": 1, "02_metrics": 1, "03_trimap_traditional": 1, "06_p3mnet_ablation": 1, "07_variants": 1,
    "10_copy_paste": 2, "12_claims": 2,
}  # fmt: skip
CONTROLS = ".widget-vbox > .widget-inline-hbox:not(.widget-html), .widget-vbox > :has(> canvas)"
REPEATS = 6  # moves of a slider
# When a control was last touched, and when the still that follows was there, decoded and painted.
CLOCK = """area => {
  window.touched = 0; window.painted = 0;
  for (const kind of ['keydown', 'change', 'pointerup'])
    document.addEventListener(kind, () => { window.touched = performance.now() }, true);
  new MutationObserver(async () => {
    await Promise.all([...area.querySelectorAll('img')].map(image => image.decode().catch(() => 0)));
    requestAnimationFrame(() => { window.painted = performance.now() });
  }).observe(area, {childList: true, subtree: true, attributes: true});
}"""
BEGUN = """() => [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")].some(p => /[*\\d]/.test(p.textContent))"""
# JupyterLab 4.6 gives a traceback the kind of the error stream, to which warnings belong as well.
ERRORS = """() => [...document.querySelectorAll('.jp-OutputArea-output[data-mime-type^="application/vnd.jupyter"]')]
  .map(output => output.textContent).filter(text => text.includes('Traceback (most recent call last)'))"""
DONE = f"""count => {{ const prompts = [...document.querySelectorAll(".jp-CodeCell .jp-InputPrompt")];
  return ({ERRORS})().length || prompts.length == count && prompts.every(p => /\\d/.test(p.textContent)) }}"""  # bit by bit
STILL = "area => [...area.querySelectorAll('.jp-OutputArea-output')].slice(-1)[0].innerHTML.replace(/[0-9.]+ m?s\\b/g, '')"
CHANGED = f"([area, before]) => window.painted > window.touched && window.touched > 0 && ({STILL})(area) != before"


@pytest.fixture
def page(browser):
    opened = browser.new_page(viewport={"width": 1280, "height": 1000})
    opened.set_default_timeout(2 * MINUTES)
    opened.add_locator_handler(opened.locator("dialog.jp-Dialog .jp-mod-accept"), accept)
    yield opened
    opened.close()


def accept(button):
    """Press a dialog's button: on a busy machine JupyterLab asks for the kernel while it still reads which there are."""
    print(f"a dialog was in the way: {button.locator('xpath=ancestor::dialog').inner_text()!r}")
    button.click()


def open_notebook(page, lab, name):
    """From the list of files, and wait for its kernel: who runs a cell before is asked which one the notebook shall have."""
    page.goto(f"{lab[0]}/lab/workspaces/{name}?token={TOKEN}&reset")
    page.wait_for_selector('.jp-LauncherCard[data-category="Notebook"]')
    page.locator(".jp-DirListing-item", has_text=f"{name}.ipynb").dblclick()
    page.wait_for_selector(".jp-Notebook .jp-CodeCell")
    page.locator(".jp-NotebookPanel-toolbar .jp-KernelName", has_text="Python 3").wait_for()
    page.wait_for_selector('.jp-NotebookPanel-toolbar [data-status="idle"], .jp-Notebook-ExecutionIndicator[data-status="idle"]')


def run_all(page, lab, name):
    """Open a notebook, run it by the menu, and wait for its last cell."""
    open_notebook(page, lab, name)
    for _ in range(30):  # as long as the kernel is not connected the menu does nothing
        page.locator("#jp-MainMenu .lm-MenuBar-item", has_text="Run").click()
        page.locator('.lm-Menu-item[data-command="runmenu:run-all"]').click()
        page.wait_for_timeout(2000)
        if page.evaluate(BEGUN):
            break
    cells = json.loads((lab[1] / f"{name}.ipynb").read_text())["cells"]
    count = sum(cell["cell_type"] == "code" for cell in cells)
    page.wait_for_function(DONE, arg=count, polling=1000, timeout=20 * MINUTES)
    shown_error = page.evaluate(ERRORS)
    assert not shown_error, f"{name}: {shown_error[0][-2000:]}"


def move(page, area, control):
    """Move one control by the keyboard, or choose another option; yields the milliseconds of each change whose still came."""
    handle, options, canvas = control.locator(".noUi-handle"), control.locator("select"), control.locator("canvas")
    if canvas.count():
        moves = brush_strokes(page, canvas)
    elif handle.count():
        handle.focus()
        moves = [lambda key=key: page.keyboard.press(key) for key in ["PageUp"] + ["ArrowDown"] * (REPEATS - 1)]
    elif options.count():
        current, count = options.evaluate("s => s.selectedIndex"), options.evaluate("s => s.options.length")
        places = [i for i in range(min(count, REPEATS)) if i != current]
        moves = [lambda i=i: options.select_option(index=i) for i in [*places, current]]
    else:
        text = control.locator('input[type="text"]')
        moves = [lambda words=words: write(page, text, words) for words in ("#20c040", text.input_value())]
    for step in moves:
        page.wait_for_function("() => performance.now() > window.painted + 500")  # what of the last move still follows
        before = area.evaluate(STILL)
        page.evaluate("() => { window.painted = 0 }")
        step()
        try:
            page.wait_for_function(CHANGED, arg=[area.element_handle(), before], timeout=10_000)
        except Exception as error:
            if type(error).__name__ != "TimeoutError":
                raise
            continue  # a slider at its end, say; that nothing at all was seen fails the test
        yield page.evaluate("() => window.painted - window.touched")


def write(page, text, words):
    text.click()
    for press in ("Control+a", "Delete"):
        page.keyboard.press(press)
    page.keyboard.type(words)
    text.press("Tab")


def brush_strokes(page, canvas):
    """What paints on a brush's picture: the mouse, then the keyboard alone."""
    canvas.scroll_into_view_if_needed()

    def by_mouse():
        box = canvas.bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + box["height"] * 0.45)
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] * 0.6, box["y"] + box["height"] * 0.5, steps=4)
        page.mouse.up()

    def by_keys():
        canvas.focus()
        for key in ["ArrowUp"] * 5 + ["ArrowLeft"] * 5 + [" "]:
            page.keyboard.press(key)

    return [by_mouse, by_keys]


def explorers(page):
    return page.locator(".jp-OutputArea:has(.widget-vbox .widget-inline-hbox)")


@pytest.mark.parametrize("name", NOTEBOOKS)
def test_a_notebook_runs_and_its_explorers_answer(page, lab, name):
    run_all(page, lab, name)
    explorers(page).nth(EXPLORERS[name] - 1).wait_for()  # its script is loaded after its cell has ended
    assert explorers(page).count() == EXPLORERS[name]
    for i in range(EXPLORERS[name]):
        area = explorers(page).nth(i)
        area.scroll_into_view_if_needed()
        area.evaluate(CLOCK)
        question, times = area.locator("strong").first.inner_text(), []
        controls = area.locator(CONTROLS)
        mute = []
        for k in range(controls.count()):
            found = list(move(page, area, controls.nth(k)))
            times += found
            mute += [k] * (not found)
        for lists in area.locator("select").all() if mute else ():  # at what they had first a slider may mean nothing
            lists.select_option(index=1)
        for k in mute:
            found = list(move(page, area, controls.nth(k)))
            assert found, f"{controls.nth(k).inner_text()}: moved, and the picture stayed"
            times += found
        note(name, question, times)
        picture = Path(os.environ.get("P3M_LAB_PICTURES", lab[1])) / f"{name}_{i}.png"
        area.screenshot(path=picture)
    save(page, lab, name)
    if name == "01_anonymize":
        uploads_a_photograph(page, lab)


def save(page, lab, name):
    """The notebook as JupyterLab writes it."""
    path = lab[1] / f"{name}.ipynb"
    before = path.stat().st_mtime_ns
    page.keyboard.press("Control+s")
    while path.stat().st_mtime_ns == before:
        page.wait_for_timeout(200)
    page.wait_for_timeout(1000)
    return json.loads(path.read_text())


def note(name, question, times):
    middle, most = statistics.median(times), float(np.quantile(times, 0.95))
    line = {"notebook": name, "question": question, "changes": len(times), "median_ms": round(middle), "p95_ms": round(most)}
    with open(os.environ.get("P3M_LAB_TIMES", os.devnull), "a") as file:
        file.write(json.dumps(line) + "\n")
    print(f"{name}: {question} median {middle:.0f} ms, 95% {most:.0f} ms over {len(times)} changes")


def uploads_a_photograph(page, lab):
    """Of the astronaut, mirrored; it is shown among the controls, and not saved."""
    path = lab[1] / "own.png"
    Image.fromarray(astronaut()[:320, 60:420][:, ::-1]).save(path)
    area = explorers(page).first
    with page.expect_file_chooser() as chosen:
        area.locator("button.jupyter-button, .widget-upload").first.click()
    chosen.value.set_files(path)
    area.locator(".widget-html img").first.wait_for(timeout=MINUTES)
    saved = save(page, lab, "01_anonymize")
    outputs = [o for c in saved["cells"] for o in c.get("outputs", []) if "anonymisation_explorer" in "".join(c["source"])]
    html = "".join("".join(o.get("data", {}).get("text/html", "")) for o in outputs)
    assert "not saved" in html and "<img" not in html and "widgets" not in saved["metadata"]


def test_an_exercise_says_right_and_wrong(page, lab):
    open_notebook(page, lab, "00_start_here")
    for source, words in (
        ("from p3mlib.exercises import check", ""),
        ('check("00.1", 0.25)', "not yet"),
        ('check("00.1", 0.75)', "right"),
    ):
        cell = page.locator(".jp-CodeCell", has_text=re.compile(r'check\("00\.1"')).first
        cell.locator(".cm-content").click()
        page.keyboard.press("Control+a")
        page.keyboard.type(source + ('  # check("00.1"' if not words else ""))
        page.keyboard.press("Control+Enter")
        if words:
            cell.locator(".jp-OutputArea-output", has_text=words).wait_for(timeout=3 * MINUTES)


@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_but_tables_scrolls_sideways(browser, pages, width):
    opened = browser.new_page(viewport={"width": width, "height": 900})
    for path in pages:
        opened.goto(path.as_uri())
        found = opened.evaluate("() => [document.documentElement.scrollWidth, innerWidth]")
        assert found[0] <= found[1], f"{path.name} is {found[0]} px wide in a window of {width}"
    opened.close()
