from cli_stage import file_report

from chunkdl.cli.closing import left_out
from chunkdl.cli.errors import resume_command
from chunkdl.report import LeftOut, ReferenceReport


def test_a_signed_address_is_not_repeated_and_that_is_said():
    argv = ["fetch", "https://h.example/f.pth?X-Amz-Signature=hidden&x=1#sha256=00", "--include", "*?"]
    assert resume_command(argv) == (
        "chunkdl fetch 'https://h.example/f.pth?...' --include '*?' (with the address as you typed it)"
    )


def test_a_password_ends_at_the_last_at_sign():
    argv = ["fetch", "org/a", "--mirror", "https://me:hid@den@h.example/a@b", "--origin=http://t@o.example"]
    said = resume_command(argv)
    assert "den" not in said
    assert said == "chunkdl fetch org/a --mirror 'https://***@h.example/a@b' '--origin=http://***@o.example'"


def test_what_was_left_out_of_a_signed_address_does_not_repeat_it():
    files = (file_report(),)
    result = ReferenceReport("https://h.example/x?sig=hidden", True, 0, files=files, left_out=LeftOut(1, 5))
    assert left_out(result).startswith("https://h.example/x?...: 1 file")
