"""Names and revisions of encoders are known without loading torch."""

import subprocess
import sys


def test_names_and_revisions_need_no_torch():
    check = (
        "import sys; from harness.metrics.encoders.registry import default_encoders, family_of, revision\n"
        "from harness.specs import BackboneSpec, EncoderSpec\n"
        "specs = default_encoders(BackboneSpec(name='sd15', path='org/sd'))\n"
        "print([family_of(spec) for spec in specs.values()], *(revision(spec) for spec in specs.values()))\n"
        "print(sorted({'torch', 'timm', 'open_clip'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    first, second = done.stdout.strip().splitlines()
    assert first == "['clip', 'dino'] hub:ViT-B-32-quickgelu:openai hub:vit_small_patch16_224.dino"
    assert second == "[]"
