"""What HTML reports share: a page that stands alone, and pictures inside it.

Nothing of it is fetched and nothing runs: its policy forbids the browser scripts and requests.
"""

import base64
import io
from html import escape

from PIL import Image

STYLE = """
body { margin: 2rem auto; max-width: 75rem; padding: 0 1rem; background: #eef0f4; color: #1c2330;
  font: 16px/1.5 system-ui, sans-serif; }
section { margin: 1rem 0; padding: 1rem 1.4rem; background: #fff; border: 1px solid #d5d9e2;
  border-radius: 10px; }
h2 { margin: 0 0 .6rem; font-size: 1.05rem; overflow-wrap: anywhere; }
small { color: #6a7385; font-weight: normal; }
"""

_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
 content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>{style}</style>
</head>
<body>
{body}
</body>
</html>
"""


def whole_page(title: str, style: str, body: str) -> str:
    """body: HTML, what others wrote in it escaped. style: CSS beyond what all pages share."""
    return _PAGE.format(title=escape(title), style=STYLE + style, body=body)


def jpeg(image: Image.Image, side: int) -> tuple[str, tuple[int, int]]:
    """An image as a data URL, no side longer than `side` pixels, and its size."""
    image = image.copy()
    image.thumbnail((side, side))
    encoded = io.BytesIO()
    image.save(encoded, format="JPEG", quality=85)
    return data_url("image/jpeg", encoded.getvalue()), image.size


def data_url(kind: str, content: bytes) -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"
