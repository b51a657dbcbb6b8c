"""Under which names ModelScope may hold a repository of the Hugging Face hub.

Decides where to look, never what is believed: a name proves nothing, every file is accepted by sha256 and size alone.
Deliberately short: the rules cover most, and an entry that no longer leads anywhere costs one 404.
"""

from __future__ import annotations

# The organisation there that re-uploads what has no home of its own on ModelScope: bert-base-uncased and others
# (https://modelscope.cn/organization/AI-ModelScope; pairs in ms-swift's table of models).
RE_UPLOADS = "AI-ModelScope"

# Publishers that call themselves otherwise there. From the pairs (ModelScope id, hub id) that ms-swift ships.
_ORGANISATIONS = {
    "thudm": "ZhipuAI",
    "zai-org": "ZhipuAI",
    "internlm": "Shanghai_AI_Laboratory",
}
# Single repositories whose names differ too. From the same table, and from the publishers' own pages.
_REPOSITORIES = {
    "swivid/f5-tts": "SWivid/F5-TTS_Emilia-ZH-EN",
    "funaudiollm/sensevoicesmall": "iic/SenseVoiceSmall",
}

MAX_NAMES = 4  # asked about one repository, one short question each


def names_there(repo_id: str) -> tuple[str, ...]:
    """Ids to look for on ModelScope, likeliest first; at most four.

    A known pair stands first. Then the same id; the publisher's other name; the id in lower case; the re-uploads.
    """
    org, _, name = repo_id.rpartition("/")
    known = _REPOSITORIES.get(repo_id.lower())
    other = _ORGANISATIONS.get(org.lower())
    candidates = [
        known,
        repo_id if org else None,
        f"{other}/{name}" if other else None,
        f"{RE_UPLOADS}/{name}",
        repo_id.lower() if org else None,
    ]
    return tuple(dict.fromkeys(each for each in candidates if each))[:MAX_NAMES]
