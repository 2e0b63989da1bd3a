/** The {@code graft} command. Nothing below it knows it. */
package dev.graft.cli;
