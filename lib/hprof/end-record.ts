/**
 * HPROF_HEAP_DUMP_END: tag 0x2C, a time of 0, a length of 0. The last nine bytes of every whole segmented dump.
 * Source: the "HPROF Agent" binary format, heapDumper.cpp of OpenJDK.
 */
export const endRecord: Uint8Array = Uint8Array.from([0x2c, 0, 0, 0, 0, 0, 0, 0, 0]);
