"""Writers: problems as LLaVA, ShareGPT (for LlamaFactory), Hugging Face `messages`, or Errata's own lines."""

from errata.tools.data.write.rows import WRITERS, WriteFormat
from errata.tools.data.write.writing import WriteResult, write_problems

__all__ = ["WRITERS", "WriteFormat", "WriteResult", "write_problems"]
