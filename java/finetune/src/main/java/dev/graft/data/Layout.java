package dev.graft.data;

import java.util.ArrayList;
import java.util.Collection;
import java.util.HashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import java.util.TreeSet;

/**
 * Which file belongs to which split and class, by names alone: {@code train|val|test/CLASS/...} or {@code CLASS/...}, both
 * also below one single folder. Hidden files are not looked at.
 *
 * @param split whether the top folders are splits
 * @param classes sorted as Python sorts
 * @param files in the order of the sample ids: by split (train, val, test), class and path
 * @param others files that are no pictures by their names, or lie outside the class folders
 */
record Layout(boolean split, List<String> classes, List<Entry> files, List<String> others) {
    static final List<String> SPLITS = List.of("train", "val", "test");
    private static final Set<String> LIKE_SPLITS =
            Set.of("train", "training", "val", "valid", "validation", "test", "testing");
    private static final Set<String> PICTURES = Set.of("jpg", "jpeg", "jpe", "jfif", "png", "bmp");

    /** @param split one of {@link #SPLITS}, or "" where the folders are classes */
    record Entry(String split, String label, String path) {}

    static Layout of(Collection<String> names, String root) {
        List<String> visible = names.stream().filter(Layout::visible).toList();
        String prefix = prefix(visible);
        boolean split = isSplit(visible, prefix, root);
        int depth = split ? 1 : 0;
        Set<String> classes = new TreeSet<>(FileSource.BY_CODE_POINT);
        List<Entry> files = new ArrayList<>();
        List<String> others = new ArrayList<>();
        int homeless = 0;
        for (String name : visible) {
            String[] parts = name.substring(prefix.length()).split("/");
            boolean folder = name.endsWith("/");
            boolean inSplit = !split || SPLITS.contains(parts[0]);
            if (folder) {
                if (inSplit && parts.length == depth + 1 && !parts[depth].isEmpty()) {
                    classes.add(parts[depth]);
                }
            } else if (inSplit && parts.length > depth + 1 && isPicture(name)) {
                classes.add(parts[depth]);
                files.add(new Entry(split ? parts[0] : "", parts[depth], name));
            } else {
                others.add(name);
                homeless += isPicture(name) ? 1 : 0;
            }
        }
        if (files.isEmpty()) {
            throw new DataException(root + ": no pictures in class folders"
                    + (homeless > 0 ? " (" + homeless + " pictures lie outside of any)" : "")
                    + ", expected CLASS/*.jpg or train/CLASS/*.jpg (JPEG, PNG, BMP)");
        }
        files.sort((a, b) -> {
            int bySplit = SPLITS.indexOf(a.split) - SPLITS.indexOf(b.split);
            int byClass = bySplit != 0 ? bySplit : FileSource.BY_CODE_POINT.compare(a.label, b.label);
            return byClass != 0 ? byClass : FileSource.BY_CODE_POINT.compare(a.path, b.path);
        });
        others.sort(FileSource.BY_CODE_POINT);
        return new Layout(split, List.copyOf(classes), files, others);
    }

    private static boolean visible(String name) {
        for (String part : name.split("/")) {
            if (part.startsWith(".") || part.equals("__MACOSX")) {
                return false;
            }
        }
        return !name.isEmpty();
    }

    private static boolean isPicture(String name) {
        return PICTURES.contains(name.substring(name.lastIndexOf('.') + 1).toLowerCase(Locale.ROOT));
    }

    /** The single folders that hold everything, as long as what they hold are folders again. */
    private static String prefix(List<String> names) {
        String prefix = "";
        while (true) {
            Set<String> tops = new HashSet<>();
            boolean pictures = false;
            boolean folders = false;
            for (String name : names) {
                String rest = name.substring(Math.min(prefix.length(), name.length()));
                int slash = rest.indexOf('/');
                if (slash < 0) {
                    pictures |= isPicture(rest);
                    continue;
                }
                tops.add(rest.substring(0, slash));
                boolean deeper = rest.indexOf('/', slash + 1) >= 0;
                folders |= deeper;
                pictures |= !deeper && isPicture(rest);
            }
            String top = tops.size() == 1 ? tops.iterator().next() : "";
            if (pictures || !folders || top.isEmpty() || isSplitName(top)) {
                return prefix;
            }
            prefix += top + "/";
        }
    }

    private static boolean isSplitName(String folder) {
        return SPLITS.contains(folder) || LIKE_SPLITS.contains(folder.toLowerCase(Locale.ROOT));
    }

    /**
     * Folders named train, val or test are splits if they hold folders and no picture themselves (a class may be called
     * train): whenever train is among them, else if there are no other folders.
     */
    private static boolean isSplit(List<String> names, String prefix, String root) {
        Set<String> tops = new TreeSet<>();
        Set<String> deep = new HashSet<>();
        Set<String> flat = new HashSet<>();
        for (String name : names) {
            String[] parts = name.substring(Math.min(prefix.length(), name.length())).split("/");
            boolean folder = name.endsWith("/");
            if (folder && !parts[0].isEmpty() || parts.length > 1) {
                tops.add(parts[0]);
            }
            if (parts.length > 2) {
                deep.add(parts[0]);
            } else if (parts.length == 2 && !folder && isPicture(name)) {
                flat.add(parts[0]);
            }
        }
        deep.removeAll(flat);
        for (String top : tops) {
            if (deep.contains(top) && isSplitName(top) && !SPLITS.contains(top)) {
                throw new DataException(root + ": folder '" + top
                        + "' looks like a split; splits are called train, val and test");
            }
        }
        Set<String> splits = new HashSet<>(SPLITS);
        splits.retainAll(deep);
        return splits.contains("train") || !splits.isEmpty() && SPLITS.containsAll(tops);
    }
}
