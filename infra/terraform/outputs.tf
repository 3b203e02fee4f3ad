output "outputs" {
  description = "Everything that the stack answers, by the names of CloudFormation: SignalBusName, DumpBucketName, DumpReaderRoleArn and others."
  value       = aws_cloudformation_stack.heapcatch.outputs
}

output "forwarder_policy_arn" {
  description = "Policy for the role of the forwarder's service account."
  value       = aws_cloudformation_stack.heapcatch.outputs["ForwarderPolicyArn"]
}

output "dump_reader_role_arn" {
  description = "Role that reads dumps."
  value       = aws_cloudformation_stack.heapcatch.outputs["DumpReaderRoleArn"]
}
