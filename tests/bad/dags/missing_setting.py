# wiring: pick() lacks value: int (HERE).
from tests.pipeline.tiny_line import pick

pick()  # here
