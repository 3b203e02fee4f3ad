package dev.heapcatch.exec;

/** What could not be done, with a code of lib/errors.ts. Messages never hold a URL or contents of a dump. */
final class Fault extends Exception {
  private static final long serialVersionUID = 1;

  final String code;
  /** The code that S3 gave, or null. */
  final String s3Code;

  Fault(String code, String message) {
    this(code, message, null);
  }

  Fault(String code, String message, String s3Code) {
    super(message);
    this.code = code;
    this.s3Code = s3Code;
  }

  /** A fault of anything that was thrown. Only the class of a foreign exception is shown: its words may hold a URL. */
  static Fault of(Throwable thrown, String code, String what) {
    if (thrown instanceof Fault) return (Fault) thrown;
    return new Fault(code, what + ": " + thrown.getClass().getSimpleName());
  }
}
