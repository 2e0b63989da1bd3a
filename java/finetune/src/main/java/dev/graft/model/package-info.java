/**
 * Networks: one file per family describes its graphs, layer groups, fresh starts and preprocessing. {@link
 * dev.graft.model.Models} finds them by name.
 */
package dev.graft.model;
