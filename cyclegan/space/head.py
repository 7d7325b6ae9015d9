"""What stands at the head of the page as it is sent, before any JavaScript of Gradio runs."""

import html
import re

from gradio.routes import templates
from jinja2 import FunctionLoader

SIZE = (1200, 630)  # of the picture, in pixels


def set_head(script: str, title: str, about: str, picture: str) -> None:
    """Put a script first, and a title, a sentence and a picture of the app in place of Gradio's own.

    Who makes previews runs no JavaScript and takes the first that stands in the page, which is Gradio's (6.31).
    Gradio inserts its own `head` when it has chosen a language.

    Args:
        script: of HTML. picture: its address in the app.
    """
    own = {
        "title": html.escape(title), "description": html.escape(about), "type": "website", "url": "{{ config.root }}",
        "image": f"{{{{ config.root }}}}/{picture}", "image:width": SIZE[0], "image:height": SIZE[1],
    }  # fmt: skip
    tags = [f'<meta property="og:{name}" content="{content}">' for name, content in own.items()]
    tags.append(f'<meta name="description" content="{own["description"]}">')
    tags.append('<meta name="twitter:card" content="summary_large_image">')
    loader = templates.env.loader
    assert loader, "Gradio's templates lie in a folder"

    def load(name: str) -> str:
        source = loader.get_source(templates.env, name)[0]
        source = re.sub(r"<meta[^>]*\b(og|twitter):[^>]*>", "", source)
        return source.replace("<head>", f"<head>{''.join(tags)}{{% raw %}}{script}{{% endraw %}}", 1)

    templates.env.loader = FunctionLoader(load)
