"""The code digests of stages before and after edits of a source tree, in a process whose first path is the tree.

python keys_of_edits.py TREE < edits.json   # {"stages": [[module, name], ...], "edits": [[file, old, new], ...]}

Prints a list of digests by stage: first without an edit, then with each edit alone.
"""

import json
import sys
from pathlib import Path


def main() -> None:
    tree = Path(sys.argv[1])
    sys.path.insert(0, str(tree))
    sys.dont_write_bytecode, sys.pycache_prefix = False, str(tree / "compiled")  # parsed modules are stored
    from pipeline.engine import definitions, reachable

    request = json.load(sys.stdin)

    def digests() -> dict[str, str]:
        for cached in (definitions.read, definitions.location, reachable.reachable, reachable._successors):
            cached.cache_clear()
        code = {name: reachable.reachable((module, name)) for module, name in request["stages"]}
        return {name: json.dumps([modules, sorted(libraries)]) for name, (modules, libraries) in code.items()}

    results = [digests()]
    for name, old, new in request["edits"]:
        path = tree / name
        text = path.read_text(encoding="utf-8")
        if old not in text:
            raise SystemExit(f"{name} does not contain {old!r}")
        path.write_text(text.replace(old, new, 1) if old else text + new, encoding="utf-8")
        results.append(digests())
        path.write_text(text, encoding="utf-8")
    json.dump(results, sys.stdout)


main()
