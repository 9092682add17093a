# wiring: pick() is in the line twice; each stage runs once.
from tests.pipeline.tiny_line import compare, double, pick

node = compare(number=double(number=pick(value=1)), other=pick(value=2))
list(node.walk())
