"""The one settings tree: everything that a run depends on, frozen, closed, saved whole with the run.

Defaults stand here and nowhere else (those of training stand in `tools.train.recipe.Recipe`). Nothing below
the command line reads the environment. Reading a file, overrides and the errors for a person are in
`settings_file`.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from errata.agent.settings.data import Branch, DataSettings
from errata.agent.settings.run_settings import RunSettings
from errata.tools.data.firewall import FirewallOptions
from errata.tools.evaluate.student import GenerateOptions
from errata.tools.locate.answer_switch import SwitchOptions
from errata.tools.retrieve.embeddings import EmbeddingOptions
from errata.tools.skills.options import SkillOptions
from errata.tools.teacher.chat_options import ChatOptions, EndpointOptions, find_embedder
from errata.tools.teacher.local import LocalTeacherOptions
from errata.tools.teacher.world import WorldTeacherOptions
from errata.tools.train.recipe import Recipe

Control = Literal["none", "random", "uniform", "insta", "superfiltering", "full", "validation-only"]
"""`none` is the loop itself, the others are methods of tools/retrieve/rivals by name."""


class StudentSettings(Branch):
    """The vision-language model that is measured and tuned."""

    base: str
    """Folder of model and processor, relative to the settings file, or a name on the hub (owner/name); `embedded` is
    that of the embedded world."""
    trust_remote_code: bool = False
    """Run the Python files that lie in the model's folder; only for models whose authors you trust."""
    prompt: str = "student_cot"
    """Name of a file in prompts/, without .md."""
    image_first: bool = False
    generate: GenerateOptions = GenerateOptions()
    workers: int = Field(default=2, ge=1, le=256)
    """Processes that generate answers; does not change any record."""


class TeacherSettings(Branch):
    """The teacher, which reads the errors."""

    kind: Literal["world", "annotations", "local", "chat"] = "world"
    world: WorldTeacherOptions = WorldTeacherOptions()
    """Knobs of the embedded teacher; read where `kind` is `world`."""
    local: LocalTeacherOptions = LocalTeacherOptions()
    """The language model on this machine; read where `kind` is `local`."""
    chat: ChatOptions | None = None
    """The language model behind an endpoint; read where `kind` is `chat`."""

    @model_validator(mode="after")
    def _chat_has_an_endpoint(self) -> TeacherSettings:
        if self.kind == "chat" and self.chat is None:
            raise ValueError("the chat teacher needs an endpoint; give teacher.chat.base_url and teacher.chat.model")
        return self


class DecideSettings(Branch):
    """The chat model that chooses the tools, and how long it may go on."""

    model: str = "rules"
    """`rules` for the embedded policy, else the name of a chat model behind `base_url`."""
    base_url: str | None = None
    key_env: str | None = None
    """Name of the environment variable that holds the key; the key itself is never written down."""
    temperature: float = Field(default=0.0, ge=0, le=2)
    max_tokens: int = Field(default=1024, ge=16)
    thinking_tokens: int = Field(default=0, ge=0)
    """What a deciding model that thinks may use for its thought in each request."""
    extra: dict[str, Any] = Field(default_factory=dict)
    """Further fields of its requests' bodies, as in `teacher.chat.extra`."""
    """Of one reply."""
    max_steps: int = Field(default=24, ge=2, le=200)
    """Replies of the model per error batch; bad replies count too."""
    batch_errors: int = Field(default=64, ge=1)
    """Errors per batch."""
    exclude_served: bool = True
    """A skill that was served to an error is not named for it again while it persists (P1 3.4)."""


class LocateSettings(SwitchOptions):
    """Mistake identification (P1 3.3); the random rivals are seeded by `run.seed`, not by `locate.seed`."""

    method: str = "answer_switch"
    """Or a rival by its name in tools/locate/rivals.py."""


class RetrieveSettings(Branch):
    """Which samples are fetched for a missing skill (P1 3.5)."""

    mode: Literal["bm25", "dense", "hybrid"] = "bm25"
    embedding: Literal["none", "hashing", "encoder", "endpoint", "chroma"] = "none"
    """`hashing` needs no model; `encoder` reads a local folder, `endpoint` asks an OpenAI-compatible server, `chroma`
    is Chroma's own default. With `none` dense search is off."""
    embedding_model: str | None = None
    """Folder of the encoder, or name of the endpoint's model; None is that of teacher.chat.roles.embed."""
    embedding_url: str | None = Field(default=None, pattern=r"^https?://")
    """Address of an endpoint that asks for no key, e.g. http://127.0.0.1:8000/v1; None is that of
    teacher.chat.roles.embed.
    """
    chroma_server: str | None = Field(default=None, pattern=r"^https?://")
    """Address of a Chroma server; without one the skill index is a folder of the run."""
    fill: bool = False
    """Fill what the search leaves open by seeded sampling, marked as route `fill`."""

    @model_validator(mode="after")
    def _dense_needs_vectors(self) -> RetrieveSettings:
        if self.mode != "bm25" and self.embedding == "none":
            raise ValueError(f"the mode {self.mode} needs an embedding; set retrieve.embedding=hashing")
        if self.embedding == "encoder" and not self.embedding_model:
            raise ValueError("the embedding encoder needs retrieve.embedding_model")
        if self.embedding_model is not None and self.embedding not in ("encoder", "endpoint"):
            raise ValueError(f"the embedding {self.embedding} reads no retrieve.embedding_model; leave it out")
        if self.embedding_url is not None and self.embedding != "endpoint":
            raise ValueError(f"the embedding {self.embedding} reads no retrieve.embedding_url; leave it out")
        return self


class RivalSettings(Branch):
    """Models of the controls that choose samples with one; read where `control` names them."""

    embedder: str | None = None
    """For `insta`: folder of a sentence encoder (MiniLM or any other), or `hashing`, which needs no model and
    compares spelling alone. None is what dense search has: `retrieve.embedding`."""
    language_model: str | None = None
    """For `superfiltering`: folder of a small causal language model (GPT-2 or any other)."""


class SynthesizeSettings(Branch):
    """Samples that are made for a missing skill."""

    enabled: bool = True
    share: float = Field(default=0.25, ge=0, le=1)
    """Part of a batch's samples that the embedded policy spends on made ones."""


class GateSettings(Branch):
    """When a new checkpoint is accepted."""

    min_gain: float = Field(default=0.0, ge=0, le=1)
    """In fractions; what else it takes to be accepted is in tools/evaluate/compare.py."""
    keep_steps: float = Field(default=0.5, ge=0, le=1)
    """Share of the steps per answer that must be left: below it the chain of thought has collapsed. 0 asks for none."""


class Caps(Branch):
    """Upper limits; None is no limit."""

    samples: int | None = Field(default=None, ge=1)
    seconds: float | None = Field(default=None, gt=0)
    teacher_calls: int | None = Field(default=None, ge=1)
    """Requests put to the teacher during diagnosis and synthesis, answered from the cache or not."""


class BudgetSettings(Branch):
    """What a run may use, in all and per iteration."""

    total: Caps = Caps(samples=3_000)
    iteration: Caps = Caps(samples=1_000)
    index_calls: int | None = Field(default=None, ge=1)
    """Requests for the required skills of the pool: a one-off with a line of its own in the ledger."""
    iterations: int = Field(default=3, ge=1, le=1000)
    target: float | None = Field(default=None, gt=0, le=1)
    """Gate accuracy at which the run ends."""


class Settings(Branch):
    """The whole tree."""

    run: RunSettings = RunSettings()
    data: DataSettings
    student: StudentSettings
    teacher: TeacherSettings = TeacherSettings()
    decide: DecideSettings = DecideSettings()
    locate: LocateSettings = LocateSettings()
    skills: SkillOptions = SkillOptions()
    retrieve: RetrieveSettings = RetrieveSettings()
    synthesize: SynthesizeSettings = SynthesizeSettings()
    firewall: FirewallOptions = FirewallOptions()
    train: Recipe = Recipe()
    gate: GateSettings = GateSettings()
    budget: BudgetSettings = BudgetSettings()
    rivals: RivalSettings = RivalSettings()
    control: Control = "none"
    """Others than `none` spend the same budget without a decision (methods sections 4 and 8)."""

    @property
    def diagnosed(self) -> bool:
        """Whether errors are read and the pool is searched for what they lack."""
        return self.control in ("none", "uniform")

    @model_validator(mode="after")
    def _samples_are_capped(self) -> Settings:
        if self.budget.total.samples is None and self.budget.iteration.samples is None:
            raise ValueError("budget.total.samples and budget.iteration.samples are both open; give one of them")
        if self.decide.model != "rules" and self.decide.base_url is None:
            raise ValueError("decide.base_url is needed for a chat model; give the address of its endpoint")
        return self

    @model_validator(mode="after")
    def _deciding_has_its_price(self) -> Settings:
        chat, model = self.teacher.chat, self.decide.model
        if chat is not None and chat.caps.money is not None and model not in ("rules", *chat.prices):
            what = f"teacher.chat.caps.money cannot be kept without a price of {model!r}"
            raise ValueError(f"{what}; give it in teacher.chat.prices")
        return self

    @property
    def embed_endpoint(self) -> EndpointOptions | None:
        """Where embeddings are asked for; None where no endpoint embeds."""
        own = self.retrieve
        if own.embedding != "endpoint":
            return None
        return find_embedder(self.teacher.chat, url=own.embedding_url, model=own.embedding_model)

    @property
    def embedding_options(self) -> EmbeddingOptions:
        """What tools/retrieve/embeddings.py makes the embedding function of; a run pays an endpoint's itself."""
        own, endpoint = self.retrieve, self.embed_endpoint
        return EmbeddingOptions(
            kind=own.embedding,
            folder=own.embedding_model if own.embedding == "encoder" else None,
            model=endpoint.model if endpoint else None,
            base_url=endpoint.base_url if endpoint else None,
        )

    @model_validator(mode="after")
    def _embedding_has_its_endpoint(self) -> Settings:
        chat, embed = self.teacher.chat, self.embed_endpoint
        if embed is None and chat is not None and "embed" in chat.roles:
            raise ValueError("teacher.chat.roles.embed is for retrieve.embedding=endpoint; set that, or take it out")
        if embed and chat and chat.caps.money is not None and embed.model not in chat.prices:
            what = f"teacher.chat.caps.money cannot be kept without a price of {embed.model!r}"
            raise ValueError(f"{what}; give it in teacher.chat.prices")
        return self

    @model_validator(mode="after")
    def _candidates_fit(self) -> Settings:
        if self.skills.tag == "candidates" and self.skills.source == "annotations":
            raise ValueError("skills.tag=candidates has nothing to save: annotations are free; set skills.tag=all")
        if self.skills.tag == "candidates" and self.retrieve.mode != "bm25":
            what = f"retrieve.mode={self.retrieve.mode} needs the skills of the whole pool, not of candidates"
            raise ValueError(f"{what}; set retrieve.mode=bm25, or skills.tag=all")
        return self

    @model_validator(mode="after")
    def _control_has_its_model(self) -> Settings:
        if self.control == "insta" and self.rivals.embedder is None and self.retrieve.embedding == "none":
            remedy = "set retrieve.embedding, or rivals.embedder to the folder of one or to hashing"
            raise ValueError(f"control=insta needs a sentence encoder; {remedy}")
        if self.control == "superfiltering" and self.rivals.language_model is None:
            remedy = "set rivals.language_model to the folder of a causal language model"
            raise ValueError(f"control=superfiltering needs a language model; {remedy}")
        return self
