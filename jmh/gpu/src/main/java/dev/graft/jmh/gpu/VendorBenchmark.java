package dev.graft.jmh.gpu;

import dev.graft.engine.DType;
import org.openjdk.jmh.annotations.Param;

/**
 * NVIDIA's libraries on the sizes of {@link GpuKernelBenchmark}, measured alike: products by cublasGemmEx, with bias and GELU by cuBLASLt,
 * and cuDNN's softmax forward and backward for the cross-entropy.
 */
public class VendorBenchmark extends DeviceTimed {
    /** What is called. */
    @Param({"cublas 4096x4096x4096", "cublas 8192x8192x8192", "cublas 25216x2304x768", "cublas 25216x768x768", "cublas 25216x3072x768",
        "cublas f32 2048x2048x2048", "cublaslt+bias+gelu 4096x4096x4096", "cudnn_softmax 8192x50257"})
    public String kernel;

    @Override
    String kernel() {
        return kernel;
    }

    @Override
    Runnable prepare(Gpu gpu, int[] sizes) {
        System.out.println("device: " + Vendor.versions());
        return switch (kernel.substring(0, kernel.indexOf(' '))) {
            case "cublas" -> Vendor.gemm(gpu, sizes, kernel.contains("f32") ? DType.F32 : DType.BF16);
            case "cublaslt+bias+gelu" -> Vendor.gemmBiasGelu(gpu, sizes);
            case "cudnn_softmax" -> Vendor.softmax(gpu, sizes);
            default -> throw new IllegalArgumentException("no kernel " + kernel);
        };
    }
}
