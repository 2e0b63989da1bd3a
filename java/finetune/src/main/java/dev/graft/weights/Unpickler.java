package dev.graft.weights;

import java.math.BigInteger;
import java.util.ArrayList;
import java.util.List;

/**
 * Interprets the part of Python's pickle language (protocols 2 to 5) that torch.save writes, without running anything:
 * instructions outside of it are refused by name, and names are looked up in the allow-list of {@link TorchObjects}.
 * Values: null, Boolean, Long, BigInteger, Double, String, byte[], List, {@link PickleTuple}, {@link PickleDict} and what
 * TorchObjects makes. No step recurses; numbers of objects and lengths are bounded. Source: Python's pickletools.
 */
final class Unpickler {
    private static final int LONGEST_INTEGER = 64;

    private final PickleInput in;
    private final TorchObjects objects;
    private final PickleStack stack;

    private Unpickler(PickleInput in, TorchObjects objects) {
        this.in = in;
        this.objects = objects;
        this.stack = new PickleStack(in);
    }

    /** Interprets one pickle from the present position up to its end. */
    static Object load(PickleInput in, TorchObjects objects) {
        in.beginPickle();
        return new Unpickler(in, objects).run();
    }

    private Object run() {
        while (true) {
            int code = in.unsignedByte();
            if (code == '.') {
                return stack.pop();
            }
            if (!scalar(code) && !container(code) && !memory(code)) {
                machine(code);
            }
        }
    }

    private boolean scalar(int code) {
        switch (code) {
            case 'N' -> stack.push(null);
            case 0x88 -> stack.push(true);
            case 0x89 -> stack.push(false);
            case 'J' -> stack.push((long) in.signedInt());
            case 'K' -> stack.push((long) in.unsignedByte());
            case 'M' -> stack.push((long) in.unsignedShort());
            case 0x8a -> stack.push(integer(in.unsignedByte()));
            case 0x8b -> stack.push(integer(in.signedInt()));
            case 'G' -> stack.push(in.bigEndianDouble());
            case 'X' -> stack.push(in.text(in.signedInt() & 0xffffffffL));
            case 0x8c -> stack.push(in.text(in.unsignedByte()));
            case 0x8d -> stack.push(in.text(in.signedLong()));
            case 'T' -> stack.push(in.text(in.signedInt()));
            case 'U' -> stack.push(in.text(in.unsignedByte()));
            case 'B' -> stack.push(in.bytes(in.signedInt() & 0xffffffffL));
            case 'C' -> stack.push(in.bytes(in.unsignedByte()));
            case 0x8e, 0x96 -> stack.push(in.bytes(in.signedLong()));
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean container(int code) {
        switch (code) {
            case ')' -> stack.push(new PickleTuple());
            case 't' -> stack.push(new PickleTuple(stack.popToMark().toArray()));
            case 0x85, 0x86, 0x87 -> {
                Object[] items = new Object[code - 0x84];
                for (int i = items.length - 1; i >= 0; i--) {
                    items[i] = stack.pop();
                }
                stack.push(new PickleTuple(items));
            }
            case ']', 0x8f -> stack.pushContainer(new ArrayList<>());
            case 'a' -> {
                Object item = stack.pop();
                list().add(item);
            }
            case 'e', 0x90 -> {
                List<Object> items = stack.popToMark();
                list().addAll(items);
            }
            case 0x91 -> stack.pushContainer(stack.popToMark());
            case '}' -> stack.pushContainer(new PickleDict(false));
            case 's' -> {
                Object value = stack.pop();
                Object key = stack.pop();
                put(key, value);
            }
            case 'u' -> {
                List<Object> items = stack.popToMark();
                if (items.size() % 2 != 0) {
                    throw in.failure("SETITEMS with a key without value");
                }
                for (int i = 0; i < items.size(); i += 2) {
                    put(items.get(i), items.get(i + 1));
                }
            }
            default -> {
                return false;
            }
        }
        return true;
    }

    private boolean memory(int code) {
        switch (code) {
            case '(' -> stack.mark();
            case '0' -> stack.pop();
            case '1' -> stack.popToMark();
            case '2' -> stack.push(stack.top());
            case 'q' -> stack.remember(in.unsignedByte());
            case 'r' -> stack.remember(in.signedInt());
            case 0x94 -> stack.rememberNext();
            case 'h' -> stack.push(stack.recall(in.unsignedByte()));
            case 'j' -> stack.push(stack.recall(in.signedInt()));
            default -> {
                return false;
            }
        }
        return true;
    }

    private void machine(int code) {
        switch (code) {
            case 0x80 -> {
                int protocol = in.unsignedByte();
                if (protocol < 2 || protocol > 5) {
                    throw in.failure("protocol " + protocol + ", expected 2 to 5");
                }
            }
            case 0x95 -> in.signedLong();
            case 'c' -> {
                String module = in.line();
                stack.push(objects.global(module, in.line(), in));
            }
            case 0x93 -> {
                Object name = stack.pop();
                Object module = stack.pop();
                if (!(module instanceof String m) || !(name instanceof String n)) {
                    throw in.failure("STACK_GLOBAL without two names");
                }
                stack.push(objects.global(m, n, in));
            }
            case 'R' -> {
                Object arguments = stack.pop();
                Object function = stack.pop();
                if (!(arguments instanceof PickleTuple tuple)) {
                    throw in.failure("REDUCE without a tuple of arguments");
                }
                stack.pushContainer(objects.call(function, tuple.items, in));
            }
            case 'b' -> {
                Object state = stack.pop();
                objects.build(stack.top(), state, in);
            }
            case 'Q' -> stack.push(objects.persistent(stack.pop(), in));
            default -> refuse(code);
        }
    }

    private void refuse(int code) {
        String name = switch (code) {
            case 'i' -> "INST of " + Messages.oneLine(in.line() + "." + in.line());
            case 'o' -> "OBJ";
            case 0x81 -> "NEWOBJ";
            case 0x92 -> "NEWOBJ_EX";
            case 0x82 -> "EXT1";
            case 0x83 -> "EXT2";
            case 0x84 -> "EXT4";
            case 'P' -> "PERSID";
            case 'I' -> "INT";
            case 'L' -> "LONG";
            case 'F' -> "FLOAT";
            case 'S' -> "STRING";
            case 'V' -> "UNICODE";
            case 'g' -> "GET";
            case 'p' -> "PUT";
            case 'd' -> "DICT";
            case 'l' -> "LIST";
            case 0x97 -> "NEXT_BUFFER";
            case 0x98 -> "READONLY_BUFFER";
            default -> null;
        };
        if (name == null) {
            throw in.failure(String.format("0x%02x is no pickle instruction", code));
        }
        throw in.failure("refused the instruction " + name + ", which no state dict needs");
    }

    private Object integer(int length) {
        if (length < 0 || length > LONGEST_INTEGER) {
            throw in.failure("an integer of " + length + " bytes, at most " + LONGEST_INTEGER + " are read");
        }
        BigInteger value = in.integer(length);
        if (value.bitLength() < 64) {
            return value.longValue();
        }
        return value;
    }

    @SuppressWarnings("unchecked")   // every list a pickle makes here is a List<Object>
    private List<Object> list() {
        if (stack.top() instanceof List<?> list) {
            return (List<Object>) list;
        }
        throw in.failure("an instruction adds to what is no list");
    }

    private void put(Object key, Object value) {
        if (!(stack.top() instanceof PickleDict dict)) {
            throw in.failure("an instruction sets an entry of what is no dictionary");
        }
        if (key instanceof List || key instanceof PickleDict) {
            throw in.failure("a list or dictionary as a dictionary's key");
        }
        dict.entries.put(key, value);
    }
}
