import { describe, expect, it } from '@jest/globals';
import { logNamePattern, parseLogOptions } from '../../lib/jvm/log-options.ts';

describe('parseLogOptions', () => {
  it.each([
    ['-Xlog:gc*:file=/logs/gc.log:time,uptime:filecount=5', '/logs/gc.log'],
    ['-Xlog:gc:gc.log', 'gc.log'],
    ['-Xlog:gc+heap=debug,safepoint:file="/logs/a:b.log"', '/logs/a:b.log'],
    ['-Xlog:safepoint,gc=info:file=/logs/%t.log', '/logs/%t.log'],
    ['-Xlog:all=warning:file=/logs/all.log', '/logs/all.log'],
    ['-Xloggc:/logs/old.log', '/logs/old.log'],
  ])('finds the file of %s', (option, file) => {
    expect(parseLogOptions(['-Xmx1g', option, 'Main'], undefined).gcLogs).toEqual([file]);
  });

  it.each([
    '-Xlog:gc',
    '-Xlog:gc:stdout',
    '-Xlog:gc::time',
    '-Xlog:class+load:file=/c.log',
    '-Xlog',
  ])('finds none in %s', (option) => {
    expect(parseLogOptions([option], undefined).gcLogs).toEqual([]);
  });

  it('finds the last error file, also of JAVA_TOOL_OPTIONS', () => {
    const tool = '-XX:ErrorFile=/a.log -Xloggc:"/with blank.log"';

    expect(parseLogOptions([], tool)).toEqual({
      errorFile: '/a.log',
      gcLogs: ['/with blank.log'],
    });
    expect(parseLogOptions(['-XX:ErrorFile=/b.log'], tool).errorFile).toBe('/b.log');
  });
});

describe('logNamePattern', () => {
  it.each([
    ['gc.log', ['gc.log', 'gc.log.0', 'gc.log.12'], ['gc.log.bak', 'xgc.log', 'gcxlog']],
    ['gc-%p.log', ['gc-1.log', 'gc-1.log.3'], ['gc-%p.log', 'gc-x.log']],
    ['gc-%t.log', ['gc-2026-03-01_12-00-00.log'], ['gc-.log']],
    ['hs_err_pid%p.log', ['hs_err_pid17.log'], ['hs_err_pid.log']],
    ['%hn-%p-%t.log', ['host-1-2026-03-01_12-00-00.log'], ['host-1-.log']],
    ['%hn%hn%hn%hn%hn%hn.log', [], [`${'a'.repeat(250)}.lo`, 'a.log']],
    ['a+(b)%%.log', ['a+(b)%.log'], ['aab%.log']],
  ])('of %s takes the files of that log and no others', (name, own, others) => {
    const pattern = logNamePattern(name);

    expect(own.filter((one) => !pattern.test(one))).toEqual([]);
    expect(others.filter((one) => pattern.test(one))).toEqual([]);
  });
});
