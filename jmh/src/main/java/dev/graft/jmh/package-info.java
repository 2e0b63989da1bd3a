/** Benchmarks of Graft's doors: JMH classes for whoever changes it, and one process per workload for {@code dev.graft.pairs}. */
package dev.graft.jmh;
