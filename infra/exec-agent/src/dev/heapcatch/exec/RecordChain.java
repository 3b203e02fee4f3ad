package dev.heapcatch.exec;

/**
 * Walks the top-level records of a heap dump as it streams by (lib/hprof/record-chain.ts). Source: the hprof format,
 * "HPROF_HEADER" and records of tag, time, length. Offsets are bytes in the file.
 */
final class RecordChain {
  static final int endRecordBytes = 9;
  private static final int headBytes = 9;
  private static final int maxFileHeaderBytes = 31;
  private static final String[] versions = {"JAVA PROFILE 1.0.1\0", "JAVA PROFILE 1.0.2\0"};

  private final byte[] head = new byte[maxFileHeaderBytes];
  private int headLength;
  private boolean headerSeen;
  private boolean endSeen;
  private boolean broken;

  /** Bytes pushed; after a fault, the bytes up to it. */
  long bytes;
  /** Offset behind the last whole record, or file header. */
  long boundary;
  /** Of the current record's body; 0 at a boundary and inside of a head. */
  long remainingBytes;
  /** Whole records, the end record among them. */
  long recordCount;
  int identifierByteSize;

  /** The unbroken chain has come to the JVM's own end record. */
  boolean ended() {
    return endSeen && !broken;
  }

  /** Behind the last record that is not the end record. */
  long contentEnd() {
    return endSeen ? boundary - endRecordBytes : boundary;
  }

  boolean insideHead() {
    return headLength > 0;
  }

  /** @throws Fault InvalidHprof, and at every later call. */
  void push(byte[] chunk, int length) throws Fault {
    if (broken) throw fault("is broken");
    long start = bytes;
    int at = 0;
    while (at < length) {
      if (remainingBytes > 0) {
        int skipped = (int) Math.min(length - at, remainingBytes);
        at += skipped;
        remainingBytes -= skipped;
        bytes = start + at;
        if (remainingBytes == 0) endRecord();
      } else {
        if (endSeen) throw fault("goes on after the end record");
        int wanted = headerSeen ? headBytes : maxFileHeaderBytes;
        int taken = Math.min(wanted - headLength, length - at);
        System.arraycopy(chunk, at, head, headLength, taken);
        headLength += taken;
        at += taken;
        if (headLength == wanted) readHead(start + at);
        bytes = start + at;
        if (headLength == 0 && remainingBytes == 0 && boundary < bytes) boundary = bytes;
      }
    }
  }

  private void readHead(long offset) throws Fault {
    headLength = 0;
    if (!headerSeen) {
      readFileHeader();
      return;
    }
    int tag = head[0] & 0xff;
    long length = u4(5);
    if (!isTag(tag)) throw fault("has a record with the tag 0x" + Integer.toHexString(tag));
    if (tag == 0x2c) {
      if (length != 0) throw fault("has an end record of " + length + " bytes");
      endSeen = true;
    } else if (tag == 0x0c && length == 0) {
      throw fault("has a heap dump record without a length");
    }
    remainingBytes = length;
    if (length == 0) {
      bytes = offset;
      endRecord();
    }
  }

  private void readFileHeader() throws Fault {
    String version = new String(head, 0, 19, java.nio.charset.StandardCharsets.ISO_8859_1);
    long size = u4(19);
    if ((!version.equals(versions[0]) && !version.equals(versions[1])) || (size != 4 && size != 8)) {
      throw fault("does not begin as an hprof file");
    }
    identifierByteSize = (int) size;
    headerSeen = true;
  }

  private void endRecord() {
    recordCount++;
    boundary = bytes;
  }

  private static boolean isTag(int tag) {
    return (tag >= 0x01 && tag <= 0x07) || (tag >= 0x0a && tag <= 0x0e) || tag == 0x1c || tag == 0x2c;
  }

  private long u4(int at) {
    return ((head[at] & 0xffL) << 24)
        | ((head[at + 1] & 0xffL) << 16)
        | ((head[at + 2] & 0xffL) << 8)
        | (head[at + 3] & 0xffL);
  }

  private Fault fault(String what) {
    broken = true;
    return new Fault("InvalidHprof", "the dump " + what + ", after " + boundary + " good bytes");
  }
}
