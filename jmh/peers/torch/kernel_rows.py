"""PyTorch's side of the kernels in native/gpu/kernels.cpp: the same rows, shapes and number types.

cublas is torch's product without anything around it, which calls cuBLAS; torch is eager; torch.compile is the default mode of the
compiler, for the product with GELU the one that also tries Triton's own products. Rows end in the order of kernels.cpp."""
import torch
import torch.nn.functional as F

from measure import Rows, arguments

options = arguments()
rows = Rows(options)
small = options.tiny
torch.manual_seed(0)


def normal(*shape, dtype=torch.bfloat16, deviation=1.0):
    return torch.randn(*shape, device=rows.device, dtype=dtype) * deviation


def shape(*sizes):
    return tuple(min(s, 16) for s in sizes) if small else sizes


def compiled(function, mode="default"):
    return function if small else torch.compile(function, mode=mode, dynamic=False)


def product(name, m, n, k, dtype=torch.bfloat16, tf32=False):
    m, n, k = shape(m, n, k)

    def body(row, side):
        x, w, out = normal(m, k, dtype=dtype), normal(n, k, dtype=dtype), normal(m, n, dtype=dtype)
        torch.backends.cuda.matmul.allow_tf32 = tf32
        try:
            rows.time(row, side, lambda: torch.mm(x, w.t(), out=out))
        finally:
            torch.backends.cuda.matmul.allow_tf32 = False

    rows.row(name, "cublas", body)


def product_gelu(name, m, n, k):
    m, n, k = shape(m, n, k)

    def layer(x, w, bias):
        return F.gelu(F.linear(x, w, bias))

    def body(row, side):
        x, w, bias = normal(m, k), normal(n, k), normal(n)
        call = compiled(layer, "max-autotune-no-cudagraphs") if side == "torch.compile" else layer
        with torch.no_grad():
            rows.time(row, side, lambda: call(x, w, bias))

    for side in ("torch", "torch.compile"):
        rows.row(name, side, body)


def lora(m, width, rank):
    name = f"lora_{m}x{width}_r{rank}"
    m, width, rank = shape(m, width, rank)

    def layer(x, w, bias, a, b):
        return F.linear(x, w, bias) + 2 * F.linear(F.linear(x, a), b)

    def body(row, side):
        x = normal(m, width).requires_grad_()
        w, bias = normal(width, width, deviation=0.02), normal(width)
        a, b = normal(rank, width, deviation=0.02).requires_grad_(), normal(width, rank, deviation=0.02).requires_grad_()
        gradient = normal(m, width)
        call = compiled(layer) if side == "torch.compile" else layer
        rows.time(row, side, lambda: torch.autograd.grad(call(x, w, bias, a, b), (x, a, b), gradient))

    for side in ("torch", "torch.compile"):
        rows.row(name, side, body)


def cross_entropy(samples, classes):
    name = f"cross_entropy_{samples}x{classes}"
    samples, classes = shape(samples, classes)

    def loss(logits, labels):
        return F.cross_entropy(logits.float(), labels)

    def body(row, side):
        logits = normal(samples, classes).requires_grad_()
        labels = torch.randint(0, classes, (samples,), device=rows.device)
        call = compiled(loss) if side == "torch.compile" else loss
        rows.time(row, side, lambda: torch.autograd.grad(call(logits, labels), logits), gigabytes=4e-9 * samples * classes)

    for side in ("torch", "torch.compile"):
        rows.row(name, side, body)


def linear_cross_entropy(samples, width, classes):
    name = f"linear_cross_entropy_{samples}x{width}x{classes}"
    samples, width, classes = shape(samples, width, classes)

    def loss(x, w, labels):
        return F.cross_entropy(F.linear(x, w).float(), labels)

    def body(row, side):
        x, w = normal(samples, width).requires_grad_(), normal(classes, width, deviation=0.02).requires_grad_()
        labels = torch.randint(0, classes, (samples,), device=rows.device)
        call = compiled(loss) if side == "torch.compile" else loss
        rows.time(row, side, lambda: torch.autograd.grad(call(x, w, labels), (x, w)))

    for side in ("torch", "torch.compile"):
        rows.row(name, side, body)


def merge(n, rank):
    name = f"merge_{n}_r{rank}"
    n, rank = shape(n, rank)

    def body(row, side):
        w, a, b = normal(n, n), normal(rank, n), normal(n, rank)
        rows.time(row, side, lambda: w.addmm_(b, a, alpha=1e-3), gigabytes=4e-9 * n * n)

    rows.row(name, "torch", body)


def adamw(name, live):
    """live: share of what trains, and the length of a run of elements that share their fate; None trains all."""
    count = 4096 if small else 100_000_000

    def body(row, side):
        parameter = torch.nn.Parameter(normal(count, dtype=torch.float32))
        parameter.grad = normal(count, dtype=torch.float32)
        optimizer = torch.optim.AdamW([parameter], lr=1e-3, weight_decay=0.01, fused=True)
        mask = None
        if live:
            share, run = live
            chosen = torch.rand((count + run - 1) // run, device=rows.device) < share
            mask = chosen.repeat_interleave(run)[:count].float()

        def step():
            if mask is not None:
                parameter.grad.mul_(mask)  # what stands in for a frozen element: its gradient is nothing, its decay goes on
            optimizer.step()

        rows.time(row, side, step, gigabytes=0 if live else 28e-9 * count)

    rows.row(name, "torch", body)


product("matmul_4096x4096x4096", 4096, 4096, 4096)
product("matmul_8192x8192x8192", 8192, 8192, 8192)
for n in (2304, 768, 3072):
    product(f"matmul_25216x{n}x768", 25216, n, 768)
for f32 in ("exact", "tf32", "bf16x3", "bf16x6"):  # cuBLAS has no products of bf16 parts to compare: exact stands beside them
    product(f"matmul_f32_4096x4096x4096_{f32}", 4096, 4096, 4096, torch.float32, f32 == "tf32")
product_gelu("matmul_gelu_25216x3072x768", 25216, 3072, 768)
product_gelu("matmul_gelu_4096x4096x4096", 4096, 4096, 4096)
for width, rank in ((768, 8), (2048, 16), (4096, 64)):
    lora(8192, width, rank)
cross_entropy(8192, 50257)
linear_cross_entropy(8192, 768, 50257)
merge(8192, 16)
adamw("adamw_100m", None)
adamw("adamw_100m_blocks_masked", (0.1, 1024))
adamw("adamw_100m_random_masked", (0.1, 1))
rows.finish()
