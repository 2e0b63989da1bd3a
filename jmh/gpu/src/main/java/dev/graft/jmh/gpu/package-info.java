/** Benchmarks of the engine's direct kernels on a GPU, timed by the device's own events. */
package dev.graft.jmh.gpu;
