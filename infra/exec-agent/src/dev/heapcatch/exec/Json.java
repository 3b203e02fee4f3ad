package dev.heapcatch.exec;

import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/**
 * Reads JSON from a stream, without holding its bytes, and writes it. A JRE has no JSON of its own. Numbers are
 * whole ({@code Long}); characters outside of ASCII are taken only as escapes or inside of strings, byte by byte.
 */
final class Json {
  private static final int maxDepth = 8;

  private final InputStream in;
  private long leftBytes;
  private int next;

  private Json(InputStream in, long maxBytes) throws IOException {
    this.in = in;
    this.leftBytes = maxBytes;
    advance();
  }

  /** One value: Map, List, String, Long, Boolean or null. @throws IOException also when it is not JSON, or too long. */
  static Object read(InputStream in, long maxBytes) throws IOException {
    Json json = new Json(in, maxBytes);
    return json.value(0);
  }

  private void advance() throws IOException {
    next = in.read();
    if (leftBytes-- <= 0 && next >= 0) throw new IOException("longer than allowed");
  }

  private int take() throws IOException {
    int taken = next;
    if (taken < 0) throw new EOFException("JSON ends too early");
    advance();
    return taken;
  }

  private void blanks() throws IOException {
    while (next == ' ' || next == '\n' || next == '\r' || next == '\t') advance();
  }

  private void expect(String word) throws IOException {
    for (int at = 0; at < word.length(); at++) {
      if (take() != word.charAt(at)) throw new IOException("not JSON");
    }
  }

  private Object value(int depth) throws IOException {
    if (depth > maxDepth) throw new IOException("nested too deep");
    blanks();
    if (next == '{') return object(depth);
    if (next == '[') return list(depth);
    if (next == '"') return string();
    if (next == 't') return word("true", Boolean.TRUE);
    if (next == 'f') return word("false", Boolean.FALSE);
    if (next == 'n') return word("null", null);
    return number();
  }

  private Object word(String word, Object value) throws IOException {
    expect(word);
    return value;
  }

  private Map<String, Object> object(int depth) throws IOException {
    Map<String, Object> object = new LinkedHashMap<>();
    take();
    blanks();
    if (next == '}') {
      // Not taken by advance(): what ends a document may be the last byte that comes.
      if (depth > 0) advance();
      return object;
    }
    for (;;) {
      blanks();
      if (next != '"') throw new IOException("not JSON");
      String key = string();
      blanks();
      expect(":");
      object.put(key, value(depth + 1));
      blanks();
      if (next == '}') {
        if (depth > 0) advance();
        return object;
      }
      expect(",");
    }
  }

  private List<Object> list(int depth) throws IOException {
    List<Object> list = new ArrayList<>();
    take();
    blanks();
    if (next == ']') {
      if (depth > 0) advance();
      return list;
    }
    for (;;) {
      list.add(value(depth + 1));
      blanks();
      if (next == ']') {
        if (depth > 0) advance();
        return list;
      }
      expect(",");
    }
  }

  private String string() throws IOException {
    StringBuilder text = new StringBuilder();
    take();
    for (;;) {
      int c = take();
      if (c == '"') return text.toString();
      text.append(c == '\\' ? escape() : (char) c);
    }
  }

  private char escape() throws IOException {
    int c = take();
    switch (c) {
      case 'b':
        return '\b';
      case 'f':
        return '\f';
      case 'n':
        return '\n';
      case 'r':
        return '\r';
      case 't':
        return '\t';
      case 'u':
        int code = 0;
        for (int count = 0; count < 4; count++) {
          int digit = Character.digit(take(), 16);
          if (digit < 0) throw new IOException("not JSON");
          code = code * 16 + digit;
        }
        return (char) code;
      default:
        return (char) c;
    }
  }

  private Long number() throws IOException {
    StringBuilder digits = new StringBuilder();
    while (next == '-' || (next >= '0' && next <= '9')) digits.append((char) take());
    try {
      return Long.valueOf(digits.toString());
    } catch (NumberFormatException notWhole) {
      throw new IOException("not JSON, or not a whole number");
    }
  }

  /** The text of Maps, Lists, Strings, Numbers and Booleans, in ASCII. */
  static String write(Object value) {
    StringBuilder text = new StringBuilder();
    append(text, value);
    return text.toString();
  }

  private static void append(StringBuilder text, Object value) {
    if (value instanceof Map) {
      String separator = "{";
      for (Map.Entry<?, ?> entry : ((Map<?, ?>) value).entrySet()) {
        text.append(separator);
        appendString(text, (String) entry.getKey());
        text.append(':');
        append(text, entry.getValue());
        separator = ",";
      }
      text.append(separator.equals("{") ? "{}" : "}");
    } else if (value instanceof List) {
      String separator = "[";
      for (Object item : (List<?>) value) {
        text.append(separator);
        append(text, item);
        separator = ",";
      }
      text.append(separator.equals("[") ? "[]" : "]");
    } else if (value instanceof String) {
      appendString(text, (String) value);
    } else {
      text.append(value);
    }
  }

  private static void appendString(StringBuilder text, String value) {
    text.append('"');
    for (int at = 0; at < value.length(); at++) {
      char c = value.charAt(at);
      if (c == '"' || c == '\\') text.append('\\').append(c);
      else if (c < ' ' || c > '~') text.append(String.format("\\u%04x", (int) c));
      else text.append(c);
    }
    text.append('"');
  }
}
