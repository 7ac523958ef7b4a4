"""A chat API on this machine: llama.cpp's server (llama-cpp-python[server]) with a GGUF file.

    python tests/instruct/teacher/llama_server.py MODEL.gguf PORT

As `python -m llama_cpp.server`, which has no switch for repacked weights: with those, some CPUs
crash on Q4_1.
"""

import sys
from pathlib import Path


def main() -> None:
    import llama_cpp
    import uvicorn
    from llama_cpp.server.app import create_app
    from llama_cpp.server.settings import ModelSettings, ServerSettings

    defaults = llama_cpp.llama_cpp.llama_model_default_params

    def without_repacking():
        params = defaults()
        params.use_extra_bufts = False
        return params

    llama_cpp.llama_cpp.llama_model_default_params = without_repacking
    model, port = Path(sys.argv[1]), int(sys.argv[2])
    settings = ModelSettings(model=str(model), model_alias=model.stem, n_ctx=8192, verbose=False)
    app = create_app(server_settings=ServerSettings(port=port), model_settings=[settings])
    uvicorn.run(app, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main()
