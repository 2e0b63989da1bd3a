/**
 * The PyTorch preset of JavaCPP on the workloads of the speed list: as its samples do it ({@code untuned}) and set up by
 * somebody who knows ({@code tuned}). One workload per process, one line of JSON as its answer.
 */
package dev.graft.peers;
