"""PyTorch's side of dev.graft.jmh.GpuSteps: whole training steps on one fixed batch of 224 x 224 pictures in bf16 autocast, channels last.

torch.eager; torch.compile; torch.cudagraphs is the eager step captured once and replayed. LoRA is peft's, on every qkv with rank 8 and
alpha 16. What is frozen wants no gradient. MB is the most that PyTorch's allocator gave out at once, in steps after the first."""
import torch
import torch.nn.functional as F

from measure import Rows, arguments

options = arguments()
rows = Rows(options)
BATCH = 2 if options.tiny else 128


def network(name, strategy):
    import timm

    torch.manual_seed(0)
    sizes = {"img_size": 32, "patch_size": 16, "depth": 12, "embed_dim": 32, "num_heads": 2} if options.tiny and "vit" in name else {}
    net = timm.create_model(name, pretrained=False, num_classes=10 if options.tiny else 1000, **sizes).to(rows.device)
    if strategy == "lora":
        import peft

        return peft.get_peft_model(net, peft.LoraConfig(r=8, lora_alpha=16, target_modules=r".*\.qkv", modules_to_save=["head"]))
    prefixes = {"full": ("",), "head": ("head.", "fc."), "lastblock": ("blocks.11.", "norm.", "head.")}[strategy]
    for parameter, values in net.named_parameters():
        values.requires_grad_(parameter.startswith(prefixes))
    return net


class Training:
    """A step on one batch, with the optimizer that Graft's row has."""

    def __init__(self, name, strategy):
        self.net = network(name, strategy).to(memory_format=torch.channels_last)
        self.net.train()
        trained = [p for p in self.net.parameters() if p.requires_grad]
        on_gpu = rows.device == "cuda"
        if "resnet" in name:
            self.optimizer = torch.optim.SGD(trained, lr=0.002, momentum=0.9, fused=on_gpu)
        else:
            self.optimizer = torch.optim.AdamW(trained, lr=1e-4, weight_decay=0.01, fused=on_gpu, capturable=on_gpu)
        size = 32 if options.tiny else 224
        self.pixels = torch.randn(BATCH, 3, size, size, device=rows.device).to(memory_format=torch.channels_last)
        self.labels = torch.arange(BATCH, device=rows.device) * 7 % (10 if options.tiny else 1000)
        self.forward = self.net

    def step(self):
        self.optimizer.zero_grad(set_to_none=True)
        with torch.autocast(rows.device, dtype=torch.bfloat16):
            loss = F.cross_entropy(self.forward(self.pixels).float(), self.labels)
        loss.backward()
        self.optimizer.step()

    def captured(self):
        """The step as a CUDA graph; called on a fresh training, as torch's own documentation has it."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            for _ in range(3):
                self.step()
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        self.optimizer.zero_grad(set_to_none=True)
        with torch.cuda.graph(graph):
            self.step()
        return graph.replay


def train(name, strategy):
    def body(row, side):
        training = Training(name, strategy)
        run = training.step
        if side == "torch.compile" and not options.tiny:
            training.forward = torch.compile(training.net, dynamic=False)
        if side == "torch.cudagraphs":
            run = training.captured()
        for _ in range(3):
            run()
        if not options.tiny:
            torch.cuda.reset_peak_memory_stats()
        rows.time(row, side, run, both=False)
        if side == "torch.eager" and not options.tiny:
            rows.samples(row, side, "MB", [torch.cuda.max_memory_allocated() / 1e6])

    short = {"resnet50": "resnet50", "vit_base_patch16_224": "vit_base"}[name]
    for side in ("torch.eager", "torch.compile", "torch.cudagraphs"):
        if side != "torch.cudagraphs" or not options.tiny:
            rows.row(f"{short}_{strategy}_b128", side, body)


def pictures(row, side):
    """Epochs of a training of ResNet-50 from a folder of JPEGs, as torchvision's own: decoded anew in worker processes, flipped at random."""
    import os
    import tempfile
    import time

    from PIL import Image
    from torchvision import datasets, transforms

    count, size = (4, 32) if options.tiny else (8 * BATCH, 224)
    with tempfile.TemporaryDirectory() as folder:
        for i in range(count):
            place = os.path.join(folder, "ab"[i % 2])
            os.makedirs(place, exist_ok=True)
            noise = torch.randint(0, 256, (24, 32, 3), dtype=torch.uint8)
            Image.fromarray(noise.numpy()).resize((500, 375), Image.BICUBIC).save(os.path.join(place, f"{i}.jpg"), quality=75)
        steps = transforms.Compose([transforms.Resize(256 * size // 224), transforms.CenterCrop(size), transforms.RandomHorizontalFlip(),
                                    transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.25] * 3)])
        loader = torch.utils.data.DataLoader(datasets.ImageFolder(folder, steps), batch_size=BATCH, shuffle=True, drop_last=True,
                                             num_workers=0 if options.tiny else min(16, os.cpu_count()), pin_memory=not options.tiny,
                                             persistent_workers=not options.tiny)
        training = Training("resnet50", "full")
        rates = []
        for epoch in range(2 if options.tiny else max(4, options.samples // 4 + 1)):
            start = time.perf_counter()
            for pixels, labels in loader:
                training.pixels = pixels.to(rows.device, non_blocking=True).to(memory_format=torch.channels_last)
                training.labels = labels.to(rows.device, non_blocking=True)
                training.step()
            if not options.tiny:
                torch.cuda.synchronize()
            rates.append(count / (time.perf_counter() - start))
        rows.samples(row, side, "pictures/s", rates[1:], f"{loader.num_workers} workers that decode")


train("resnet50", "full")
rows.row("resnet50_jpeg_b128", "torch.eager", pictures)
for strategy in ("full", "lora", "head", "lastblock"):
    train("vit_base_patch16_224", strategy)
rows.finish()
