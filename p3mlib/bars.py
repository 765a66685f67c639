"""Progress bars: tqdm's, and in a notebook one that is shown after a second and leaves a line of text in the saved file."""

from tqdm import auto, notebook


class _InNotebook(auto.tqdm):
    """A bar of ipywidgets whose place a line of text takes when it ends, so that it can be read without the kernel."""

    def __init__(self, *args, **kwargs):
        self.handle = None
        super().__init__(*args, **{"delay": 1, **kwargs, "display": False})

    def display(self, *args, check_delay=True, **kwargs):
        """Redraw the bar; the first time that is when its delay is over."""
        if check_delay and self.handle is None:
            from IPython.display import display

            self.handle, self.displayed = display(self.container, display_id=True), True
        super().display(*args, check_delay=check_delay, **kwargs)

    def close(self):
        """End the bar."""
        super().close()
        if self.handle:
            done = f"{self.n} of {self.total}" if self.total else str(self.n)
            line = f"{self.desc.rstrip(': ') or 'done'}: {done} ({self.unit}) in {self.format_dict['elapsed']:.0f} s"
            self.handle.update({"text/plain": line}, raw=True)


tqdm = _InNotebook if issubclass(auto.tqdm, notebook.tqdm) else auto.tqdm
