"""A JupyterLab on copies of the notebooks, and Chromium that looks at it; skipped with a reason without it."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOKEN = "lab"
PROFILE = os.environ.get("P3M_LAB_PROFILE", "smoke")
SETTINGS = {
    "@jupyterlab/notebook-extension/tracker.jupyterlab-settings": {"windowingMode": "none"},
    "@jupyterlab/apputils-extension/notification.jupyterlab-settings": {"fetchNews": "false", "checkForUpdates": False},
}


def chromium():
    """Path of a Chromium on this machine, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@pytest.fixture(scope="session")
def browser():
    sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is missing: pip install playwright")
    if chromium() is None:
        pytest.skip("no Chromium here: apt install chromium")
    with sync_api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox", "--disable-dev-shm-usage"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def lab(browser, tmp_path_factory):
    """(address of a JupyterLab whose notebooks have `PROFILE`, their folder); runs and data stay in P3M_HOME, else build/lab."""
    folder = tmp_path_factory.mktemp("lab")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        (folder / path.name).write_text(path.read_text().replace('PROFILE = \\"laptop\\"', f'PROFILE = \\"{PROFILE}\\"'))
    for name, values in SETTINGS.items():
        (folder / "settings" / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / "settings" / name).write_text(json.dumps(values))
    home = Path(os.environ.get("P3M_HOME", ROOT / "build" / "lab"))
    home.mkdir(parents=True, exist_ok=True)
    own = {"P3M_HOME": str(home), "JUPYTERLAB_SETTINGS_DIR": str(folder / "settings")}
    own["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "jupyter", "lab", "--no-browser", "--port=18888", "--allow-root"]
    command += [f"--ServerApp.root_dir={folder}", f"--IdentityProvider.token={TOKEN}", "--ServerApp.port_retries=50"]
    log = (folder / "server.log").open("w+")
    server = subprocess.Popen(command, env=os.environ | own, stdout=log, stderr=subprocess.STDOUT)
    try:
        yield _address(server, folder / "server.log"), folder
    finally:
        server.terminate()
        server.wait(30)


@pytest.fixture(scope="session")
def pages(lab, tmp_path_factory):
    """Pages of the tables and figures that come with the project, and of the notebooks as JupyterLab saved them."""
    home = tmp_path_factory.mktemp("pages")
    (home / "build" / "notebooks").mkdir(parents=True)
    links = {"tables": ROOT / "tables", "figures": ROOT / "figures", "notebooks": lab[1], "build/notebooks/laptop": lab[1]}
    for name, place in links.items():
        (home / name).symlink_to(place)
    command = [sys.executable, "-m", "p3mlib", "report", "--profile", "laptop"]
    subprocess.run(command, env=os.environ | {"P3M_HOME": str(home)}, cwd=ROOT, check=True)
    return sorted((home / "build" / "laptop").glob("*.html"))


def _address(server, log):
    for _ in range(240):
        if server.poll() is not None:
            raise RuntimeError(f"JupyterLab ended: {log.read_text()[-2000:]}")
        found = [word for word in log.read_text().split() if word.startswith("http://127.0.0.1:")]
        with contextlib.suppress(OSError):  # named before it listens
            if found:
                address = found[-1].split("/lab")[0]
                urllib.request.urlopen(f"{address}/api?token={TOKEN}").close()
                return address
        time.sleep(0.5)
    raise RuntimeError(f"JupyterLab did not start: {log.read_text()[-2000:]}")
