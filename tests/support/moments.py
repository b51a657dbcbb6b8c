"""Moments of a batch that is well under way, for the status page."""

from dataclasses import replace
from datetime import UTC, datetime

from chunkdl.batch.job import Job, JobState, Task, Wish
from chunkdl.batch.moment import JobMoment, Moment
from chunkdl.batch.policy import PolicyText, policy_of
from chunkdl.observe import HostStatus, Notice

GIB, MIB = 1 << 30, 1 << 20
POLICY = policy_of(
    PolicyText(
        windows=("Mon-Fri 22:30-07:00", "Sat,Sun 00:00-24:00"),
        time_zone="Asia/Shanghai",
        bwlimit="08:00,20M 23:00,off",
        budgets={"hf-mirror.com": "20G", "lab": "5G"},
        caps={"hf-mirror.com": "12M"},
    ),
    UTC,
)
# Tuesday, 22:41 in Shanghai: the window opened eleven minutes ago.
AT = datetime(2026, 11, 24, 14, 41, 7, tzinfo=UTC).timestamp()


def job(name, state, **how):
    wish = Wish(Task(name, quant=how.pop("quant", None)), how.pop("priority", 0), how.pop("deadline", None))
    return Job(wish.task.job_id, replace(wish, every=how.pop("every", None)), state, AT - 7200, **how)


def host(name, mirrors, given, rate, **how):
    return HostStatus(name, mirrors, given, rate, **{"connections": 4, "state": "active", **how})


def moment(step=0, **changes):
    """``step`` seconds after the first."""
    done = int(6.1 * GIB) + step * 17 * MIB
    values = {
        "at": AT + step,
        "open": True,
        "changes_at": POLICY.windows.next_change(AT + step),
        "policy": POLICY,
        "limit_bytes_per_s": POLICY.rates.at(AT + step),
        "goodput_bytes_per_s": 17.4 * MIB,
        "jobs": (
            JobMoment(
                job("org/large-70b", JobState.RUNNING, priority=5, deadline=AT + 20000), done, 14 * GIB, 16 * MIB
            ),
            JobMoment(job("bert-base-uncased", JobState.RUNNING), 120 * MIB, 420 * MIB, 1.4 * MIB),
            JobMoment(job("datasets/org/corpus", JobState.WAITING), 0, 0),
            JobMoment(
                job(
                    "org/diffusion-xl",
                    JobState.WAITING,
                    not_before=AT + 180,
                    failures=2,
                    attempts=2,
                    reason="no source delivered model.safetensors: hf-mirror.com answered 429",
                ),
                GIB,
                5 * GIB,
            ),
            JobMoment(
                job(
                    "org/gated-model",
                    JobState.PARKED,
                    reason="org/gated-model is gated: its licence has to be accepted",
                    hint="accept it at https://huggingface.co/org/gated-model and set HF_TOKEN",
                ),
                0,
                0,
            ),
            JobMoment(
                job("torch:resnet50", JobState.DONE, ended_at=AT - 300, path="/models/resnet50.pth"), 0, 98 * MIB
            ),
        ),
        "hosts": (
            host("cdn-lfs.hf-mirror.com:443", ("hf-mirror.com",), 4 * GIB, 11.2 * MIB),
            host("cdn-lfs-cn-1.modelscope.cn:443", ("modelscope.cn",), int(1.6 * GIB), 6.2 * MIB, connections=6),
            host("huggingface.co:443", ("huggingface.co",), 300 * MIB, 0.0, connections=1, state="stalled", errors=3),
        ),
        "spent": (("hf-mirror.com", int(11.5 * GIB)), ("lab", 5 * GIB)),
        "notices": (
            Notice("window", "the window is open"),
            Notice("budget", "today's budget is spent: lab"),
        ),
        **changes,
    }
    return Moment(**values)


def history(steps):
    """Moments of so many seconds in which one host fades and another comes."""
    for step in range(-steps, 0):
        share = (step + steps) / steps
        wave = 1 + 0.15 * ((step * 7919) % 13 - 6) / 6
        hosts = (
            host("cdn-lfs.hf-mirror.com:443", ("hf-mirror.com",), 4 * GIB, 11.2 * MIB * wave),
            host("cdn-lfs-cn-1.modelscope.cn:443", ("modelscope.cn",), GIB, 6.2 * MIB * share * wave, connections=6),
            host("huggingface.co:443", ("huggingface.co",), 300 * MIB, 2.4 * MIB * max(0.0, 1 - 2 * share)),
        )
        yield moment(step, hosts=hosts)
