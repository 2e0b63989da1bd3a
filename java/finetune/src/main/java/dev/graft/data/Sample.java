package dev.graft.data;

/**
 * One picture of a dataset.
 *
 * @param id its index among all picture files of the dataset, readable or not, in sorted order: stable between runs
 * @param label index into the dataset's classes; 0 where there are none
 * @param path its name below the dataset's root, with '/'
 */
public record Sample(long id, int label, String path) {}
