"""Taiyi: Stable Diffusion that reads Chinese (a BERT text encoder, prompts padded to 512).

    python taiyi.py 蓝色背景上的红色大圆形 -o circle.png
    python taiyi.py 飞流直下三千尺，油画 --model IDEA-CCNL/Taiyi-Stable-Diffusion-1B-Chinese-v0.1

diffusers finds the encoder's class in the model's own files; nothing else differs.
"""

from _arguments import parser
from stable_diffusion import main

if __name__ == "__main__":
    main(parser(__doc__, "tiny/taiyi", "蓝色背景上的红色大圆形").parse_args())
