# wiring: double() is in the line twice; each stage runs once.
from tests.pipeline.tiny_line import double, pick

node = double(number=double(number=pick(value=1)))
list(node.walk())
