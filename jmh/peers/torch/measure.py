"""Times of the device's own events, printed as lines that native/gpu/record turns into rows of a CSV."""
import argparse
import os
import statistics
import sys
import time

import torch


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--samples", type=int, default=30)
    parser.add_argument("--rows", default="", help="only rows whose name contains this")
    parser.add_argument("--tiny", action="store_true", help="toy sizes on the processor: whether the program runs, not how fast")
    return parser.parse_args()


class Rows:
    """Runs one row after the other; what fails is a row too and keeps no other from being measured."""

    def __init__(self, options):
        self.options = options
        self.device = "cpu" if options.tiny else "cuda"
        self.failed = 0
        if not options.tiny:
            size = 2 * torch.cuda.get_device_properties(0).L2_cache_size
            self.flush = torch.empty(size, dtype=torch.uint8, device="cuda")
            # exact products, as Graft's F32 ones are
            torch.backends.cuda.matmul.allow_tf32 = False
        versions = f"torch {torch.__version__}; CUDA {torch.version.cuda}; cuDNN {torch.backends.cudnn.version()}"
        print(f"status\tmachine\ttorch\tok\t{versions}", flush=True)

    def row(self, name, side, body):
        if self.options.rows not in name:
            return
        try:
            body(name, side)
        except Exception as e:  # every reason is worth a row
            self.failed += 1
            print(f"status\t{name}\t{side}\tfailed\t{type(e).__name__}: {str(e).splitlines()[0] if str(e) else ''}", flush=True)
        if not self.options.tiny:
            torch.cuda.empty_cache()

    def samples(self, name, side, unit, values, note=""):
        numbers = " ".join(f"{v:.6g}" for v in values)
        print(f"samples\t{name}\t{side}\t{unit}\t{numbers}\t{note}", flush=True)

    def time(self, name, side, run, gigabytes=0.0, note="", warm_up=3, both=True):
        """Each run by itself, after some that are not counted; cold ones after twice the second-level cache was written."""
        for _ in range(warm_up):
            run()
        for cold in (False, True) if both else (False,):
            times = [self.once(run, cold) for _ in range(self.options.samples)]
            suffix = " cold" if cold else ""
            self.samples(name, side, "ms" + suffix, times, note)
            if gigabytes:
                self.samples(name, side, "GB/s" + suffix, [gigabytes / (t * 1e-3) for t in times], note)
        return statistics.median(times)

    def once(self, run, cold):
        if self.options.tiny:
            start = time.perf_counter()
            run()
            return (time.perf_counter() - start) * 1e3
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        if cold:
            self.flush.zero_()
        begin.record()
        run()
        end.record()
        end.synchronize()
        return begin.elapsed_time(end)

    def finish(self):
        sys.stdout.flush()
        os._exit(1 if self.failed else 0)  # compile workers may outlive an ordinary exit
