from importlib.metadata import version

from markupsafe import Markup

print(Markup("<p>%s</p>") % "hello from python", version("itsdangerous"))
